//! (vectors follow)
