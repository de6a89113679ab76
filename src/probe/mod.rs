//! Questions to a registry from outside, as its clients ask them: what differs between two of them ([`compare()`]), and
//! which layer between here and one of them fails ([`doctor`]).
//!
//! It looks at each layer by itself, so it has its own way of asking beside `client`, which is made for serving. It does
//! not know who calls it, prints nothing and reads no environment. A password goes only over a connection whose
//! certificate was verified, or where the person wrote `http://`.

mod compare;
mod doctor;
mod login;
mod proxy;
mod target;
mod wire;

pub(crate) use compare::{Difference, Image, Outcome, Plan, Report, Weight, compare};
pub(crate) use doctor::{Check, Diagnosis, Patient, Status, examine};
pub(crate) use login::Credentials;
pub(crate) use proxy::Route;
pub(crate) use target::Target;
pub(crate) use wire::Wire;
