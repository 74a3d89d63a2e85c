//! A faithful in-memory Zoho.
