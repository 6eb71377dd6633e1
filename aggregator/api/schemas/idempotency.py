"""The header by which a request is done once."""

HEADER = "Idempotency-Key"
PATTERN = r'^("[!#-~]{1,200}"|[!#-~]{1,200})$'
PARAMETER = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": PATTERN},
    "description": "Names this request, such as by a UUID. Sent again within 24 hours it is answered as before "
    "(`Idempotency-Replayed`) and not done again; what was refused may be tried again. "
    "Answers with secrets are not (409).",
}
