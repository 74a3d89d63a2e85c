//! Tests from the outside: the whole daemon, as its operator and Zoho meet it.

mod process;
