//! Tests of the language: what parses, what it means, and what an error shows.
//! No bars may enter.
