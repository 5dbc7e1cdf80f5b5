//! How the name in `connector.class` finds its connector.

use crate::connect::Connector;

/// The connector that a `connector.class` means: its class, one of its aliases, or the simple name of one of these, with or without `Connector` at its end
/// (upstream's `PluginUtils.simpleName` and `prunedName`). An alias that means two connectors means none.
///
/// # Errors
/// One line that lists what is available, with the nearest name first.
pub fn find(connectors: &[&'static dyn Connector], name: &str) -> Result<&'static dyn Connector, String> {
    let exact = connectors.iter().copied().find(|c| names(*c).any(|n| n == name));
    if let Some(connector) = exact {
        return Ok(connector);
    }
    let mut found = connectors.iter().copied().filter(|c| names(*c).any(|n| short_names(n).contains(&name)));
    match (found.next(), found.next()) {
        (Some(connector), None) => Ok(connector),
        _ => Err(unknown(connectors, name)),
    }
}

/// Class and aliases.
fn names(connector: &'static dyn Connector) -> impl Iterator<Item = &'static str> {
    std::iter::once(connector.class()).chain(connector.aliases().iter().copied())
}

/// `FileStreamSinkConnector` and `FileStreamSink` of `org.apache.kafka.connect.file.FileStreamSinkConnector`.
fn short_names(class: &str) -> [&str; 2] {
    let simple = class.rsplit('.').next().unwrap_or(class);
    [simple, simple.strip_suffix("Connector").unwrap_or(simple)]
}

fn unknown(connectors: &[&'static dyn Connector], name: &str) -> String {
    let available: Vec<&str> = connectors.iter().map(|c| c.class()).collect();
    let wanted = short_names(name)[1].to_ascii_lowercase();
    let nearest = connectors
        .iter()
        .flat_map(|c| names(*c))
        .map(|candidate| (distance(&short_names(candidate)[1].to_ascii_lowercase(), &wanted), candidate))
        .min()
        .filter(|(distance, _)| *distance <= wanted.len() / 3);
    let hint = nearest.map_or(String::new(), |(_, candidate)| format!("; did you mean {candidate}?"));
    format!("Failed to find any class that implements Connector and which name matches {name}, available connectors are: {}{hint}", available.join(", "))
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let cost = (diagonal + usize::from(x != *y)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = std::mem::replace(&mut row[j + 1], cost);
        }
    }
    row[b.len()]
}
