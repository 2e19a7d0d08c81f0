//! The engine from outside: its handle, over the storage in memory and networks that tests script.

mod addresses;
mod bounds;
mod callbacks;
mod closing;
mod codes;
mod erasure;
mod fatigue;
mod faults;
mod fixture;
mod gone;
mod lifecycle;
mod mail;
mod otp;
mod provider;
mod proxy;
mod recovering;
mod sealed;
mod sms_bounds;
mod threads;
