//! The order in which properties become fields.
//!
//! Connect's own schemas number their properties (`connect.index`). Others are read by upstream into hash maps, so that their fields have the order of Java's
//! `HashMap`: by the lowest bits of the names' hash codes. Whoever has files of such a schema has them in this order, so it is kept.

/// Sorts properties as upstream's hash maps hold them.
pub(crate) fn hashed<T>(properties: &mut [(String, T)]) {
    let count = properties.len();
    // Read into a map that grows from 16 places, then copied into one that has room for all.
    for places in [grown(count), copied(count)] {
        properties.sort_by_key(|(name, _)| spread(name) & (places - 1));
    }
}

/// Sorts members as a hash map holds them into which they were put one by one.
pub(crate) fn in_map<T>(members: &mut [(String, T)]) {
    let places = grown(members.len());
    members.sort_by_key(|(name, _)| spread(name) & (places - 1));
}

/// Sorts members of a hash map as a JSON object holds them that was made from it: with as many places as it has members, until they are too few.
pub(crate) fn in_object<T>(members: &mut [(String, T)]) {
    in_map(members);
    let count = members.len();
    let mut places = u32::try_from(count.next_power_of_two()).unwrap_or(1 << 30);
    while count > usize::try_from(places / 4 * 3 + places % 4 * 3 / 4).unwrap_or(usize::MAX) && places < 1 << 30 {
        places *= 2;
    }
    members.sort_by_key(|(name, _)| spread(name) & (places - 1));
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
///
/// # Errors
/// The property that finds no number, for a person.
pub(super) fn indexed<T>(properties: Vec<(String, T)>, index: impl Fn(&T) -> Option<i64>) -> Result<Vec<(String, T)>, String> {
    let mut numbered = std::collections::BTreeMap::new();
    for (name, property) in properties {
        let wanted = index(&property).unwrap_or_else(|| i64::try_from(numbered.len()).unwrap_or(i64::MAX));
        let mut free = Some(wanted);
        for taken in numbered.range(wanted..).map(|(number, _)| *number) {
            if free != Some(taken) {
                break;
            }
            free = taken.checked_add(1);
        }
        let number = free.ok_or_else(|| format!("\"connect.index\" of property \"{name}\" is \"{wanted}\", which is taken, and so is each number after it"))?;
        numbered.insert(number, (name, property));
    }
    Ok(numbered.into_values().collect())
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

    fn numbered(properties: &[(&str, Option<i64>)]) -> Result<String, String> {
        let properties = properties.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect();
        indexed(properties, |index| *index).map(|properties| properties.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn numbered_properties_come_in_their_order_and_none_is_lost() {
        const LAST: i64 = i64::MAX;
        let table: [(&[(&str, Option<i64>)], Result<&str, &str>); 5] = [
            (&[("a", Some(2)), ("b", None), ("c", Some(0)), ("d", Some(2))], Ok("cbad")),
            (&[("a", Some(7)), ("b", Some(5)), ("c", Some(5)), ("d", Some(5)), ("e", Some(-1))], Ok("ebcad")),
            (&[("a", Some(LAST)), ("b", Some(LAST - 1))], Ok("ba")),
            (
                &[("a", Some(LAST)), ("b", Some(LAST))],
                Err("\"connect.index\" of property \"b\" is \"9223372036854775807\", which is taken, and so is each number after it"),
            ),
            (
                &[("a", Some(LAST)), ("b", Some(LAST - 1)), ("c", Some(LAST - 1))],
                Err("\"connect.index\" of property \"c\" is \"9223372036854775806\", which is taken, and so is each number after it"),
            ),
        ];
        for (properties, want) in table {
            assert_eq!(numbered(properties), want.map(str::to_owned).map_err(str::to_owned), "{properties:?}");
        }
    }
}
