//! The administrator's listener through the front door: numbers, health, readiness, and what is made for Prometheus
//! and Grafana.

mod admin;
mod gates;
mod made_for;
mod numbers;
mod operations;
mod ready;
