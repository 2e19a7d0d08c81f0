//! The doors of Tocsin and its binary.
