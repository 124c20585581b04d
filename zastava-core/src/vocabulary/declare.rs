//! The macro that declares a vocabulary: an enum, its words, their meanings, both directions of text.

/// Declares one vocabulary. The meaning of a word is also the documentation of its variant.
macro_rules! vocabulary {
    (
        $(#[$about:meta])*
        pub enum $name:ident($called:literal) {
            $($variant:ident = $word:literal, $meaning:literal;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`: ", $meaning, ".")] $variant,)+
        }

        impl $name {
            /// Every word, in declared order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What the word means, without a full stop.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = $crate::vocabulary::UnlistedWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let unlisted = $crate::vocabulary::UnlistedWord { vocabulary: $called };
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(unlisted)
            }
        }

        $crate::text::serde_as_text!($name);
    };
}

pub(super) use vocabulary;
