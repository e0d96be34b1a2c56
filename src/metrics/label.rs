//! Labels: what a series is told apart by. Each label has few values, all of them known here.

/// The values of one label, or of two together.
pub trait Label: Copy + 'static {
    /// How many combinations of values there are.
    const COUNT: usize;

    /// Which of them this is.
    fn index(self) -> usize;

    /// The values of the combination with this index, one for each label.
    fn values(index: usize) -> Vec<&'static str>;
}

impl<A: Label, B: Label> Label for (A, B) {
    const COUNT: usize = A::COUNT * B::COUNT;

    fn index(self) -> usize {
        self.0.index() * B::COUNT + self.1.index()
    }

    fn values(index: usize) -> Vec<&'static str> {
        let mut values = A::values(index / B::COUNT);
        values.extend(B::values(index % B::COUNT));
        values
    }
}

/// An enum whose variants are the values of a label, each with its text.
macro_rules! label {
    ($(#[$about:meta])* pub enum $name:ident { $($(#[$what:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$what])* $variant,)+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            pub const VALUES: &'static [&'static str] = &[$($text,)+];

            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl $crate::metrics::label::Label for $name {
            const COUNT: usize = Self::VALUES.len();

            fn index(self) -> usize {
                self as usize
            }

            fn values(index: usize) -> Vec<&'static str> {
                vec![Self::VALUES[index]]
            }
        }
    };
}

pub(super) use label;

#[cfg(test)]
mod tests {
    use super::*;

    label! {
        pub enum Colour {
            Red = "red",
            Blue = "blue",
        }
    }

    label! {
        pub enum Size {
            Small = "small",
            Middle = "middle",
            Large = "large",
        }
    }

    #[test]
    fn each_combination_of_values_has_an_index_of_its_own() {
        assert_eq!(<(Colour, Size)>::COUNT, 6);
        for &colour in Colour::ALL {
            for &size in Size::ALL {
                let values = <(Colour, Size)>::values((colour, size).index());
                assert_eq!(values, [colour.label(), size.label()]);
            }
        }
    }
}
