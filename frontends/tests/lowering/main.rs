//! Dockerfiles in, graphs and image configs out.

mod configs;
mod copies;
mod epoch;
mod faults;
mod graphs;
mod properties;
mod runs;
mod stages;
mod world;
