//! The first pass: checks the text, and finds the order of the members that are not sorted yet.

use super::CanonicalError;
use super::text::Text;

/// As deep as `serde_json` reads. The recursion below takes little of the stack for each level.
const DEPTH_MAX: usize = 127;
/// The memory that the order may take. No text of up to 8 MiB needs it.
const BYTES_MAX: usize = 24 << 20;

/// The most members of an object that are sorted. Writers of JSON that have more sort them: Go's library does, which API servers use.
/// Sorting more takes long, since each comparison reads other memory.
const SORTED_MAX: usize = 64 << 10;

/// The shortest member, with the comma behind it: `"":0,`
const MEMBER_BYTES_MIN: usize = 5;
/// The shortest object that is not sorted, with the comma behind it: `{"":0,"":0},`
const UNSORTED_BYTES_MIN: usize = 12;

/// The members of all objects that do not stand in the text as RFC 8785 sorts them.
pub(super) struct Order {
    /// By position.
    objects: Vec<Unsorted>,
    /// The positions of their members' names, in the order of writing.
    members: Vec<u32>,
}

/// An object whose members are not sorted, or of which two have one name.
struct Unsorted {
    at: u32,
    first: u32,
    count: u32,
}

impl Order {
    pub(super) fn of(text: Text<'_>) -> Result<Self, CanonicalError> {
        // Growing would copy, and leave the old memory behind. What is not used is never touched.
        let members = || Vec::with_capacity(text.len() / MEMBER_BYTES_MIN);
        let objects = Vec::with_capacity(text.len() / UNSORTED_BYTES_MIN);
        let mut survey = Survey { text, open: members(), order: Self { objects, members: members() } };
        let end = text.skip(survey.value(text.skip(0), 0)?);
        if end != text.len() {
            return Err(CanonicalError::Malformed { at: end });
        }
        let mut order = survey.order;
        order.objects.sort_unstable_by_key(|object| object.at);
        Ok(order)
    }

    /// The members of the object at that position, unless they are sorted in the text.
    pub(super) fn members(&self, at: usize) -> Option<&[u32]> {
        let index = self.objects.binary_search_by_key(&at, |object| object.at as usize).ok()?;
        let Unsorted { first, count, .. } = self.objects[index];
        Some(&self.members[first as usize..][..count as usize])
    }

    fn bytes(&self) -> usize {
        size_of_val(self.objects.as_slice()) + size_of_val(self.members.as_slice())
    }
}

struct Survey<'a> {
    text: Text<'a>,
    /// The positions of the members' names of all objects around the current position.
    open: Vec<u32>,
    order: Order,
}

impl Survey<'_> {
    /// The end of the value at `at`, which stands in that many objects and lists.
    fn value(&mut self, at: usize, depth: usize) -> Result<usize, CanonicalError> {
        match self.text.byte(at) {
            Some(b'{' | b'[') if depth == DEPTH_MAX => Err(CanonicalError::TooDeep),
            Some(b'{') => self.object(at, depth + 1),
            Some(b'[') => self.list(at, depth + 1),
            Some(b'"') => self.text.string(at),
            Some(b'-' | b'0'..=b'9') => self.text.number(at),
            _ => self.text.literal(at),
        }
    }

    fn list(&mut self, at: usize, depth: usize) -> Result<usize, CanonicalError> {
        let mut at = self.text.skip(at + 1);
        if self.text.byte(at) == Some(b']') {
            return Ok(at + 1);
        }
        loop {
            at = self.text.skip(self.value(at, depth)?);
            match self.text.byte(at) {
                Some(b',') => at = self.text.skip(at + 1),
                _ => return self.text.expect(at, b']'),
            }
        }
    }

    fn object(&mut self, start: usize, depth: usize) -> Result<usize, CanonicalError> {
        let mut at = self.text.skip(start + 1);
        if self.text.byte(at) == Some(b'}') {
            return Ok(at + 1);
        }
        let first = self.open.len();
        let mut sorted = true;
        loop {
            let name = at;
            at = self.text.string(name)?;
            let previous = self.open[first..].last();
            sorted =
                sorted && previous.is_none_or(|previous| self.text.compare(*previous as usize, name).is_lt());
            // `Text::new` has checked that positions fit.
            self.open.push(name as u32);
            at = self.text.expect(self.text.skip(at), b':')?;
            at = self.text.skip(self.value(self.text.skip(at), depth)?);
            match self.text.byte(at) {
                Some(b',') => at = self.text.skip(at + 1),
                _ => break,
            }
        }
        if !sorted {
            if self.open.len() - first > SORTED_MAX {
                return Err(CanonicalError::TooLarge);
            }
            self.sort(start, first);
        }
        self.open.truncate(first);
        if size_of_val(self.open.as_slice()) + self.order.bytes() > BYTES_MAX {
            return Err(CanonicalError::TooLarge);
        }
        self.text.expect(at, b'}')
    }

    /// Keeps the order of the object at `at`, whose members are the open ones from `first` on.
    fn sort(&mut self, at: usize, first: usize) {
        let (text, order) = (self.text, &mut self.order);
        let members = &mut self.open[first..];
        let compare = |left: &u32, right: &u32| text.compare(*left as usize, *right as usize);
        members.sort_unstable_by(|left, right| compare(left, right).then(left.cmp(right)));
        let first = order.members.len();
        // Of equal names the last one in the text counts.
        let is_last = |index: usize, member: &u32| {
            members.get(index + 1).is_none_or(|next: &u32| compare(member, next).is_ne())
        };
        let last = members.iter().enumerate().filter(|(index, member)| is_last(*index, member));
        order.members.extend(last.map(|(_, member)| *member));
        let count = order.members.len() - first;
        order.objects.push(Unsorted { at: at as u32, first: first as u32, count: count as u32 });
    }
}
