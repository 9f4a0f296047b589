//! The tests of the whole: the real binary, real databases, an emulated AWS and a fake issuer.

mod layers;
