//! The authority: who keeps the partition map. What it keeps is a document for people and programs.

pub mod document;
