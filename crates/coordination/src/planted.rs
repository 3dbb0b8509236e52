//! Weakenings of the rules, one line each, that the checkers must catch.
//!
//! `planted!(Name)` is the constant `false` in the package `coordination`, the one that production
//! is built from. Only the package `planted`, the same sources for the simulator, can switch one on.

#[cfg(not(feature = "planted"))]
macro_rules! planted {
    ($bug:ident) => {
        false
    };
}

#[cfg(feature = "planted")]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::is_on($crate::planted::Bug::$bug)
    };
}

#[cfg(feature = "planted")]
pub use switch::{Bug, Planting, is_on};

#[cfg(feature = "planted")]
mod switch {
    extern crate std;
    use core::cell::Cell;

    /// Declares the bugs: name, and in words what is weakened.
    macro_rules! bugs {
        ($($name:ident: $text:literal,)*) => {
            /// A planted bug.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
            pub enum Bug {
                $(#[doc = $text] $name,)*
            }

            impl Bug {
                /// All.
                pub const ALL: &'static [Self] = &[$(Self::$name,)*];

                /// What is weakened.
                #[must_use]
                pub const fn text(self) -> &'static str {
                    match self {
                        $(Self::$name => $text,)*
                    }
                }
            }
        };
    }

    bugs! {
        LeaseFromArrival: "a lease counts from the arrival of its answer, not from the send",
    }

    std::thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// True if this bug is planted in this thread.
    #[must_use]
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }

    /// A bug is planted in this thread while this lives.
    #[derive(Debug)]
    pub struct Planting {
        before: Option<Bug>,
    }

    impl Planting {
        /// Plants it, or none.
        #[must_use]
        pub fn new(bug: Option<Bug>) -> Self {
            Self { before: ON.replace(bug) }
        }
    }

    impl Drop for Planting {
        fn drop(&mut self) {
            ON.set(self.before);
        }
    }
}
