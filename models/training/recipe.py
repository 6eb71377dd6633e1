"""The choices of the recipe, each by out-of-fold figures; ``NOTES.md`` tells what they are worth."""

CAP_CYCLES = 125.0

FOLDS = 5
FOLD_SEED = 0
SEEDS = (0, 1, 2, 3, 4)
# Decided by rule before any result: the released student is that of the first seed.
RELEASED_SEED = SEEDS[0]

# Simulated engines beside each real one in training, and what one counts where a real one counts 1.
SIMULATED_PER_REAL = 3
SIMULATED_WEIGHT = 1 / 3

MEMBERS = 6
HIDDEN = (64, 32)
DROPOUT = 0.1
AGE_DROPOUT = 0.25
BASELINE_DROPOUT = 0.05
# In standard deviations of a feature.
INPUT_NOISE = 0.1
EPOCHS = 8
DROPOUT_EPOCHS = 6
BATCH = 512
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
SQUARED_WEIGHT = 2.0
CALIBRATION_ROWS = 500

MOST_UNUSABLE_CHANNELS = 4
SHORT_HISTORY_ROWS = 30
