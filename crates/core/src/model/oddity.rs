//! The parts of a row in Zoho's list that no declaration can express. Such a channel is not
//! rewritten unasked: a write would drop it.

/// One such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oddity {
    /// A condition that names its module by id alone.
    ModuleById,
    /// A condition that names a field by id alone.
    FieldById,
    /// A condition of another shape.
    Condition,
    /// `fields` that are not null: nobody documented their meaning.
    Fields,
    /// An event that is no module with create, edit, delete or all.
    Event,
}

impl Oddity {
    /// A sentence about the channel.
    pub const fn why(self) -> &'static str {
        match self {
            Oddity::ModuleById => "a condition of it names its module by id alone",
            Oddity::FieldById => "a condition of it names a field by id alone",
            Oddity::Condition => "a condition of it has an unknown shape",
            Oddity::Fields => "it has `fields`, of which no document says the meaning",
            Oddity::Event => "it has an event that is none of create, edit, delete and all",
        }
    }

    /// True when a channel with this oddity is left alone, although its declaration has the same
    /// URL. A condition is shown as drift instead.
    pub const fn is_left_alone(self) -> bool {
        match self {
            Oddity::ModuleById | Oddity::FieldById | Oddity::Condition => false,
            Oddity::Fields | Oddity::Event => true,
        }
    }
}
