//! Checks on the SDKs as packages: one version, one licence and one address of the repository in all their manifests, and a
//! README that is whole without the repository around it. What is in a package, the languages' scripts check when they pack it
//! (`./x packages`).

use std::collections::BTreeSet;

use super::{Violation, assert_none, docs, files, shown, text};

/// Where the version of all SDKs stands; the others repeat it.
const VERSION_SOURCE: (&str, Mark) = ("guest-sdk/Cargo.toml", Mark("\nversion = \"", "\""));
/// Where the repository's licence and address stand.
const LICENSE_SOURCE: (&str, Mark) = ("Cargo.toml", Mark("\nlicense = \"", "\""));
const REPOSITORY_SOURCE: (&str, Mark) = ("Cargo.toml", Mark("\nrepository = \"", "\""));

/// What stands before and behind a value, the first time.
#[derive(Clone, Copy, Debug)]
struct Mark(&'static str, &'static str);

impl Mark {
    fn value<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (_, rest) = text.split_once(self.0)?;
        rest.split_once(self.1).map(|(value, _)| value)
    }
}

/// A folder that is a package, and where its files repeat what is said once.
struct Package {
    folder: &'static str,
    versions: &'static [(&'static str, Mark)],
    licenses: &'static [(&'static str, Mark)],
    /// With what is before and behind the repository's address there.
    repositories: &'static [(&'static str, Mark)],
}

const IN_JSON: Mark = Mark("\n  \"version\": \"", "\"");
const LICENSE_IN_JSON: Mark = Mark("\n  \"license\": \"", "\"");
const REPOSITORY_IN_JSON: Mark = Mark("\"url\": \"git+", ".git\"");
const IN_README: Mark = Mark("ersion ", ", for contract");
const LICENSE_IN_README: Mark = Mark("; ", ". No library");

const PACKAGES: &[Package] = &[
    Package {
        folder: "guest-sdk",
        versions: &[],
        licenses: &[("Cargo.toml", Mark("\nlicense = \"", "\""))],
        repositories: &[("Cargo.toml", Mark("\nrepository = \"", "\""))],
    },
    Package {
        folder: "guest-sdk/assemblyscript",
        versions: &[
            ("package.json", IN_JSON),
            ("package-lock.json", IN_JSON),
            ("package-lock.json", Mark("\n      \"version\": \"", "\"")),
            ("README.md", IN_README),
        ],
        licenses: &[("package.json", LICENSE_IN_JSON), ("README.md", Mark("contract 0.1.0; ", ".\n"))],
        repositories: &[("package.json", REPOSITORY_IN_JSON)],
    },
    Package {
        folder: "guest-sdk/c",
        versions: &[
            ("millstream.h", Mark("#define MILLSTREAM_SDK_VERSION \"", "\"")),
            ("README.md", IN_README),
            ("README.md", Mark("millstream-c-", ".tar.gz")),
        ],
        licenses: &[("README.md", LICENSE_IN_README)],
        repositories: &[],
    },
    Package {
        folder: "guest-sdk/cpp",
        versions: &[("README.md", IN_README), ("README.md", Mark("$package-", ".tar.gz"))],
        licenses: &[("README.md", Mark("; ", ". Neither"))],
        repositories: &[],
    },
    Package {
        folder: "guest-sdk/go",
        versions: &[
            ("README.md", Mark("`guest-sdk/go/v", "`")),
            ("../templates/go/go.mod", Mark("/guest-sdk/go v", "\n")),
        ],
        licenses: &[],
        repositories: &[("go.mod", Mark("module ", "/guest-sdk/go\n"))],
    },
    Package {
        folder: "guest-sdk/javascript",
        versions: &[("package.json", IN_JSON)],
        licenses: &[("package.json", LICENSE_IN_JSON)],
        repositories: &[("package.json", REPOSITORY_IN_JSON)],
    },
    Package {
        folder: "guest-sdk/python",
        versions: &[("pyproject.toml", Mark("\nversion = \"", "\""))],
        licenses: &[("pyproject.toml", Mark("\nlicense = \"", "\""))],
        repositories: &[("pyproject.toml", Mark("\nRepository = \"", "\""))],
    },
    Package {
        folder: "guest-sdk/zig",
        versions: &[
            ("build.zig.zon", Mark(".version = \"", "\"")),
            ("src/millstream.zig", IN_README),
            ("README.md", IN_README),
        ],
        licenses: &[("README.md", Mark("contract 0.1.0; ", ".\n"))],
        repositories: &[],
    },
];

/// A file whose value is not what it should be. An address may stand without its scheme, as in a Go module's path.
fn differs(path: &str, text: &str, mark: Mark, what: &str, right: &str) -> Option<Violation> {
    let found = mark.value(text);
    let same = found == Some(right) || right.strip_prefix("https://").is_some_and(|right| found == Some(right));
    let found = found.map_or("none".to_owned(), |found| format!("`{found}`"));
    (!same).then(|| Violation::new(path, 0, format!("its {what} is {found}, that of all packages `{right}`")))
}

/// Links that leave the package's folder: where the package is shown they lead nowhere.
fn links_outside(path: &str, text: &str) -> Vec<Violation> {
    let outside = docs::relative_links(text).into_iter().filter(|(_, target)| target.starts_with(".."));
    outside
        .map(|(line, target)| Violation::new(path, line, format!("the link to {target} leaves the package")))
        .collect()
}

/// Folders of SDKs: those with a README directly under `guest-sdk`, and that folder itself.
fn folders(paths: &[String]) -> BTreeSet<String> {
    let readmes = paths.iter().filter_map(|path| path.strip_suffix("/README.md"));
    let sdks = readmes.filter(|folder| *folder == "guest-sdk" || folder.starts_with("guest-sdk/"));
    sdks.filter(|folder| folder.matches('/').count() <= 1).map(str::to_owned).collect()
}

fn said_once((path, mark): (&str, Mark)) -> String {
    let text = text(path).unwrap_or_default();
    mark.value(&text).unwrap_or_else(|| panic!("{path} does not say it: {mark:?}")).to_owned()
}

fn different(package: &Package, what: &str, places: &[(&str, Mark)], right: &str) -> Vec<Violation> {
    let differing = places.iter().filter_map(|(file, mark)| {
        let path = format!("{}/{file}", package.folder);
        differs(&path, &text(&path).unwrap_or_default(), *mark, what, right)
    });
    differing.collect()
}

#[test]
fn every_sdk_is_a_package_that_is_checked() {
    let packages: BTreeSet<_> = PACKAGES.iter().map(|package| package.folder.to_owned()).collect();
    assert_eq!(folders(&files()), packages);
}

#[test]
fn packages_have_one_version() {
    let right = said_once(VERSION_SOURCE);
    assert_none(PACKAGES.iter().flat_map(|each| different(each, "version", each.versions, &right)).collect());
}

#[test]
fn packages_have_the_repositorys_licence() {
    let right = said_once(LICENSE_SOURCE);
    assert_none(PACKAGES.iter().flat_map(|each| different(each, "licence", each.licenses, &right)).collect());
    let whole = text("LICENSE").expect("the repository has a licence");
    let copies = PACKAGES.iter().map(|package| format!("{}/LICENSE", package.folder));
    let wrong = copies.filter(|path| text(path).is_none_or(|copy| copy != whole));
    assert_none(wrong.map(|path| Violation::new(&path, 0, "is not the repository's LICENSE")).collect());
}

#[test]
fn packages_name_the_repository() {
    let right = said_once(REPOSITORY_SOURCE);
    assert_none(PACKAGES.iter().flat_map(|each| different(each, "repository", each.repositories, &right)).collect());
}

#[test]
fn readmes_of_packages_do_not_lead_out_of_them() {
    let readmes = PACKAGES.iter().map(|package| format!("{}/README.md", package.folder));
    assert_none(readmes.flat_map(|path| links_outside(&path, &text(&path).unwrap_or_default())).collect());
}

#[test]
fn a_manifest_that_differs_is_seen() {
    let mark = Mark("version = \"", "\"");
    let said = |text: &str| differs("a.toml", text, mark, "version", "0.2.0").map(|wrong| wrong.to_string());
    assert_eq!(said("version = \"0.2.0\"\n"), None);
    let expected = "a.toml: its version is `0.1.0`, that of all packages `0.2.0`";
    assert_eq!(said("version = \"0.1.0\"\n").as_deref(), Some(expected));
    assert_eq!(said("").as_deref(), Some("a.toml: its version is none, that of all packages `0.2.0`"));
    let module = |text| differs("go.mod", text, Mark("module ", "/sdk\n"), "repository", "https://e.org/a").is_none();
    assert_eq!([module("module e.org/a/sdk\n"), module("module e.org/b/sdk\n")], [true, false]);
}

#[test]
fn a_link_out_of_the_package_is_seen() {
    let text = "[a](src/a.md) [b](../b.md) [c](https://e.org)\n[d](../../d#e)\n";
    let expected = [
        "a/README.md:1: the link to ../b.md leaves the package",
        "a/README.md:2: the link to ../../d#e leaves the package",
    ];
    assert_eq!(shown(&links_outside("a/README.md", text)), expected);
}

#[test]
fn a_new_sdk_is_seen() {
    let paths = ["guest-sdk/README.md", "guest-sdk/go/README.md", "guest-sdk/templates/c/README.md", "README.md"];
    let expected = ["guest-sdk", "guest-sdk/go"].map(str::to_owned).into();
    assert_eq!(folders(&paths.map(str::to_owned)), expected);
}
