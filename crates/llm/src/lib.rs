//! Language-model providers behind one trait, with every call recorded exactly.
