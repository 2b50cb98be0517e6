//! Tests of indicators.
//! No file or network may enter.
