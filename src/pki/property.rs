//! What holds of every `index.txt` and every list that a desk may find.

use std::path::Path;

use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;

use super::index::{Index, State};
use super::list::List;

/// An index comes out as it went in, and a change of one line is that line's alone.
pub(crate) fn index(data: &[u8]) {
    let path = Path::new("/etc/ca/index.txt");
    let mut index = match Index::parse(path, data) {
        Ok(index) => index,
        Err(fault) => {
            let line = fault.to_string();
            assert!(!line.contains(char::is_control), "{line:?}");
            return;
        }
    };
    assert_eq!(index.bytes(), data);
    let before: Vec<_> = index.records().cloned().collect();
    for record in &before {
        assert_eq!(index.find(&record.serial), Some(record));
        let _ = (record.name(), index.has_valid_subject(&record.subject));
    }
    let Some(first) = before.first() else {
        return;
    };
    index.revoke(&first.serial, 1_800_000_000, None);
    let bytes = index.bytes();
    let Ok(again) = Index::parse(path, &bytes) else {
        panic!(
            "not readable after a change: {:?}",
            String::from_utf8_lossy(&bytes)
        );
    };
    let after: Vec<_> = again.records().cloned().collect();
    assert!(matches!(after.first(), Some(r) if matches!(r.state, State::Revoked { .. })));
    assert_eq!(after.get(1..), before.get(1..));
    let kept = |r: &super::Record| (r.serial.clone(), r.end, r.subject.clone());
    assert_eq!(after.first().map(kept), before.first().map(kept));
}

/// A list, as DER: what it takes back is marked.
pub(crate) fn list(data: &[u8]) {
    let Some(list) = <CertificateList>::from_der(data).ok().and_then(List::read) else {
        return;
    };
    let mut index = Index::default();
    assert!(list.is_complete(&index));
    list.mark(&mut index);
}
