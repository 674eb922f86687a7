//! Moving a table aside.
