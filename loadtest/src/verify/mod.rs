//! Checks of a running server that need a process to kill or a real clock.
