//! Demo, simulated phones and load for Tocsin, over the network only.
