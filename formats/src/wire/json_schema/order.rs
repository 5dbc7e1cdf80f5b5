//! The order in which properties become fields.
//!
//! Connect's own schemas number their properties (`connect.index`). Others are read by upstream into hash maps, so that their fields have the order of Java's
//! `HashMap`: by the lowest bits of the names' hash codes. Whoever has files of such a schema has them in this order, so it is kept.

/// Sorts properties as upstream's hash maps hold them.
pub(super) fn hashed<T>(properties: &mut [(String, T)]) {
    let count = properties.len();
    // Read into a map that grows from 16 places, then copied into one that has room for all.
    for places in [grown(count), copied(count)] {
        properties.sort_by_key(|(name, _)| spread(name) & (places - 1));
    }
}

/// Java's `String.hashCode`, its high half mixed into its low one as `HashMap` does.
fn spread(name: &str) -> u32 {
    let hash = name.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    hash ^ (hash >> 16)
}

/// Places of a map into which that many were put one by one.
fn grown(count: usize) -> u32 {
    let mut places = 16_u32;
    while count > usize::try_from(places / 4 * 3).unwrap_or(usize::MAX) && places < 1 << 30 {
        places *= 2;
    }
    places
}

/// Places of a map that was made from one of that many.
fn copied(count: usize) -> u32 {
    u32::try_from((count * 4 / 3 + 1).next_power_of_two()).unwrap_or(1 << 30).min(1 << 30)
}

/// Numbers properties by `connect.index`, or by how many came before; a number that is taken gives way to the next one that is free.
pub(super) fn indexed<T>(properties: Vec<(String, T)>, index: impl Fn(&T) -> Option<i64>) -> Vec<(String, T)> {
    let mut numbered = std::collections::BTreeMap::new();
    for (name, property) in properties {
        let mut number = index(&property).unwrap_or_else(|| i64::try_from(numbered.len()).unwrap_or(i64::MAX));
        while numbered.contains_key(&number) {
            number = number.saturating_add(1);
        }
        numbered.insert(number, (name, property));
    }
    numbered.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Vec<String> {
        let mut properties: Vec<_> = names.iter().map(|name| ((*name).to_owned(), ())).collect();
        hashed(&mut properties);
        properties.into_iter().map(|(name, ())| name).collect()
    }

    #[test]
    fn names_have_the_order_of_their_hash_codes() {
        assert_eq!(spread("id"), 3355);
        assert_eq!(spread("name"), 3_373_707 ^ (3_373_707 >> 16));
        assert_eq!(sorted(&["d", "c", "b", "a"]), ["a", "b", "c", "d"]);
        // id 11, name 8, price 2, tags 15 of 16 places.
        assert_eq!(sorted(&["id", "name"]), ["name", "id"]);
    }

    /// As a JVM says it of `new HashMap<>(map).keySet()`.
    #[test]
    fn names_have_the_order_of_javas_hash_maps() {
        let table = [
            "field_b7,field_a0,field_c14",
            "field_d21,field_k70,field_a0,field_h49,field_e28,field_b7,field_i56,field_j63,field_f35,field_g42,field_c14",
            "field_h49,field_e28,field_l77,field_i56,field_j63,field_f35,field_g42,field_c14,field_d21,field_k70,field_a0,field_b7",
            "field_h49,field_e28,field_l77,field_m84,field_i56,field_j63,field_f35,field_g42,field_c14,field_d21,field_k70,field_a0,field_b7",
        ];
        for want in table {
            let mut names: Vec<&str> = want.split(',').collect();
            names.sort_unstable();
            assert_eq!(sorted(&names).join(","), want);
        }
    }

    #[test]
    fn maps_grow_at_three_quarters_and_copies_have_room() {
        for (count, places, copy) in [(0, 16, 1), (2, 16, 4), (11, 16, 16), (12, 16, 32), (13, 32, 32), (24, 32, 64), (25, 64, 64)] {
            assert_eq!((grown(count), copied(count)), (places, copy), "{count}");
        }
    }

    #[test]
    fn numbered_properties_come_in_their_order_and_none_is_lost() {
        let properties = [("a", Some(2)), ("b", None), ("c", Some(0)), ("d", Some(2))].map(|(name, index)| (name.to_owned(), index));
        let names: Vec<_> = indexed(properties.to_vec(), |index| *index).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["c", "b", "a", "d"]);
    }
}
