"""Plays the hardware of engines: real servers of the protocols they speak, with the engine model behind them."""
