//! Shows that a denial means something: without a jail, on this host, every attack works that the
//! host offers at all. And that what exhausts a host ends by itself.

mod attacks;
mod bounds;
mod rig;
