//! The dynamic section: needed libraries, search paths and symbol versions, found as the loader finds them.

use object::Endianness;
use object::elf;
use object::read::ReadRef;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};

use super::{Dynamic, ElfError, Search, Strength, VersionNeed};

/// Far beyond any real file; keeps a hostile one from filling memory.
const MAX_RECORDS: usize = 8192;
const MAX_STRING: usize = 4096;

pub(super) fn read<Elf: FileHeader<Endian = Endianness>>(
    entries: &[Elf::Dyn],
    segments: &[Elf::ProgramHeader],
    endian: Endianness,
    data: &[u8],
) -> Result<Dynamic, ElfError> {
    let value = |tag: elf::DynamicTag| {
        let mut live = entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL);
        live.find(|entry| entry.tag(endian) == tag).map(|entry| entry.val(endian))
    };
    let image = Image { segments, endian, data };
    let strings = value(elf::DT_STRTAB).map(|address| image.from(address)).transpose()?.unwrap_or_default();

    let mut dynamic = Dynamic::default();
    let (mut rpath, mut runpath) = (None, None);
    for entry in entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL) {
        match entry.tag(endian) {
            elf::DT_NEEDED => {
                dynamic.needed.push(string(strings, entry.val(endian))?);
                plausible("needed libraries", dynamic.needed.len())?;
            }
            elf::DT_SONAME => dynamic.soname = Some(string(strings, entry.val(endian))?),
            elf::DT_RPATH => rpath = Some(string(strings, entry.val(endian))?),
            elf::DT_RUNPATH => runpath = Some(string(strings, entry.val(endian))?),
            elf::DT_RELR => dynamic.packed_relocations = true,
            elf::DT_TEXTREL => dynamic.text_relocations = true,
            elf::DT_FLAGS => dynamic.text_relocations |= entry.val(endian) & elf::DF_TEXTREL.0 != 0,
            _ => {}
        }
    }
    dynamic.search = match (rpath, runpath) {
        (_, Some(path)) => Search::Runpath(split(&path)),
        (Some(path), None) => Search::Rpath(split(&path)),
        (None, None) => Search::Default,
    };
    if let Some(address) = value(elf::DT_VERNEED) {
        let table = Table { bytes: image.from(address)?, endian, strings };
        dynamic.versions_needed = table.needs()?;
    }
    if let Some(address) = value(elf::DT_VERDEF) {
        let table = Table { bytes: image.from(address)?, endian, strings };
        dynamic.versions_defined = table.definitions()?;
    }
    Ok(dynamic)
}

/// Whether the dynamic section marks its file as a program.
pub(super) fn is_program<Entry: Dyn<Endian = Endianness>>(entries: &[Entry], endian: Endianness) -> bool {
    let mut live = entries.iter().take_while(|entry| entry.tag(endian) != elf::DT_NULL);
    live.any(|entry| entry.tag(endian) == elf::DT_FLAGS_1 && entry.val(endian) & elf::DF_1_PIE.0 != 0)
}

/// The file as it would lie in memory.
struct Image<'a, Segment> {
    segments: &'a [Segment],
    endian: Endianness,
    data: &'a [u8],
}

impl<'a, Segment: ProgramHeader<Endian = Endianness>> Image<'a, Segment> {
    /// The bytes from a virtual address to the end of its segment.
    fn from(&self, address: u64) -> Result<&'a [u8], ElfError> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type(self.endian) == elf::PT_LOAD)
            .find_map(|segment| {
                let into = address.checked_sub(segment.p_vaddr(self.endian).into())?;
                let (offset, size) = segment.file_range(self.endian);
                let left = size.checked_sub(into).filter(|left| *left > 0)?;
                self.data.read_bytes_at(offset.checked_add(into)?, left).ok()
            })
            .ok_or_else(|| ElfError::Damaged { what: format!("address {address:#x} is in no loaded segment") })
    }
}

/// A chain of version records, each saying how far the next one is.
struct Table<'a> {
    bytes: &'a [u8],
    endian: Endianness,
    strings: &'a [u8],
}

impl Table<'_> {
    fn at<T: object::pod::Pod>(&self, offset: u64) -> Result<&T, ElfError> {
        self.bytes.read_at::<T>(offset).map_err(|()| ElfError::Damaged { what: "a version record is cut off".into() })
    }

    fn needs(&self) -> Result<Vec<VersionNeed>, ElfError> {
        let mut needs = Vec::new();
        let mut at = 0u64;
        loop {
            let library: &elf::Verneed<Endianness> = self.at(at)?;
            let name = string(self.strings, library.vn_file.get(self.endian).into())?;
            let mut aux = at + u64::from(library.vn_aux.get(self.endian));
            for _ in 0..library.vn_cnt.get(self.endian) {
                let version: &elf::Vernaux<Endianness> = self.at(aux)?;
                let weak = version.vna_flags.get(self.endian).0 & elf::VER_FLG_WEAK.0 != 0;
                needs.push(VersionNeed {
                    library: name.clone(),
                    version: string(self.strings, version.vna_name.get(self.endian).into())?,
                    strength: if weak { Strength::Weak } else { Strength::Hard },
                });
                plausible("version needs", needs.len())?;
                aux += u64::from(version.vna_next.get(self.endian));
            }
            match library.vn_next.get(self.endian) {
                0 => return Ok(needs),
                next => at += u64::from(next),
            }
        }
    }

    fn definitions(&self) -> Result<Vec<String>, ElfError> {
        let mut versions = Vec::new();
        let mut at = 0u64;
        loop {
            let definition: &elf::Verdef<Endianness> = self.at(at)?;
            if definition.vd_flags.get(self.endian).0 & elf::VER_FLG_BASE.0 == 0 {
                let first: &elf::Verdaux<Endianness> = self.at(at + u64::from(definition.vd_aux.get(self.endian)))?;
                versions.push(string(self.strings, first.vda_name.get(self.endian).into())?);
                plausible("versions", versions.len())?;
            }
            match definition.vd_next.get(self.endian) {
                0 => return Ok(versions),
                next => at += u64::from(next),
            }
        }
    }
}

fn string(strings: &[u8], offset: u64) -> Result<String, ElfError> {
    let bytes = usize::try_from(offset).ok().and_then(|offset| strings.get(offset..));
    let bytes = bytes.ok_or_else(|| ElfError::Damaged { what: "a name lies outside the string table".into() })?;
    let bytes = &bytes[..bytes.len().min(MAX_STRING)];
    let end = bytes.iter().position(|byte| *byte == 0);
    let end = end.ok_or(ElfError::Implausible { what: "bytes in a name", limit: MAX_STRING })?;
    Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

fn split(path: &str) -> Vec<String> {
    path.split(':').filter(|folder| !folder.is_empty()).map(str::to_owned).collect()
}

fn plausible(what: &'static str, count: usize) -> Result<(), ElfError> {
    if count > MAX_RECORDS { Err(ElfError::Implausible { what, limit: MAX_RECORDS }) } else { Ok(()) }
}
