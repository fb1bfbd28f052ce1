//! The ELF header and the program headers. Sections are never read: they may be stripped, and no loader looks at them.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, NoteIterator, ProgramHeader};

use super::dynamic;
use super::{Class, ElfError, Facts, IsaLevel, Kind, Machine, Stack};

/// Reads the facts of an ELF file of any class, byte order and machine.
pub fn read(data: &[u8]) -> Result<Facts, ElfError> {
    match data.get(4).copied().map(elf::FileClass) {
        Some(elf::ELFCLASS32) => read_as::<elf::FileHeader32<Endianness>>(data, Class::Elf32),
        Some(elf::ELFCLASS64) => read_as::<elf::FileHeader64<Endianness>>(data, Class::Elf64),
        Some(class) => Err(ElfError::Damaged { what: format!("class {} is neither 32-bit nor 64-bit", class.0) }),
        None => Err(ElfError::Damaged { what: "it ends inside its header".to_owned() }),
    }
}

/// What the parser could not read, as our error.
pub(super) fn damaged(error: object::read::Error) -> ElfError {
    ElfError::Damaged { what: error.to_string() }
}

fn read_as<Elf: FileHeader<Endian = Endianness>>(data: &[u8], class: Class) -> Result<Facts, ElfError> {
    let header = Elf::parse(data).map_err(damaged)?;
    let endian = header.endian().map_err(damaged)?;
    let segments = header.program_headers(endian, data).map_err(damaged)?;

    let mut facts = Facts {
        class,
        machine: machine(header.e_machine(endian), endian),
        kind: match header.e_type(endian) {
            elf::ET_EXEC => Kind::Executable,
            elf::ET_DYN => Kind::Shared,
            _ => Kind::Unloadable,
        },
        interpreter: None,
        stack: Stack::Unsaid,
        isa: None,
        dynamic: None,
    };
    for segment in segments {
        match segment.p_type(endian) {
            elf::PT_INTERP => {
                let path = segment.interpreter(endian, data).map_err(damaged)?;
                facts.interpreter = path.map(|path| String::from_utf8_lossy(path).into_owned());
            }
            elf::PT_GNU_STACK => {
                let executable = segment.p_flags(endian).0 & elf::PF_X.0 != 0;
                facts.stack = if executable { Stack::Executable } else { Stack::Plain };
            }
            elf::PT_NOTE | elf::PT_GNU_PROPERTY if facts.machine == Machine::X86_64 => {
                facts.isa = facts.isa.max(isa_level::<Elf>(segment, endian, data));
            }
            elf::PT_DYNAMIC => {
                let entries = segment.dynamic(endian, data).map_err(damaged)?.unwrap_or_default();
                if facts.kind == Kind::Shared && dynamic::is_program(entries, endian) {
                    facts.kind = Kind::PositionIndependentExecutable;
                }
                facts.dynamic = Some(dynamic::read::<Elf>(entries, segments, endian, data)?);
            }
            _ => {}
        }
    }
    Ok(facts)
}

fn machine(number: elf::Machine, endian: Endianness) -> Machine {
    match (number, endian) {
        (elf::EM_X86_64, Endianness::Little) => Machine::X86_64,
        (elf::EM_AARCH64, Endianness::Little) => Machine::Aarch64,
        (other, _) => Machine::Unknown(other.0),
    }
}

/// A note that cannot be read says nothing: the loader passes over it too.
fn isa_level<Elf: FileHeader<Endian = Endianness>>(
    segment: &Elf::ProgramHeader,
    endian: Endianness,
    data: &[u8],
) -> Option<IsaLevel> {
    let bytes = segment.data(endian, data).ok()?;
    let notes = NoteIterator::<Elf>::new(endian, segment.p_align(endian), bytes).ok()?;
    let needed = notes
        .map_while(Result::ok)
        .filter_map(|note| note.gnu_properties(endian))
        .flat_map(|properties| properties.map_while(Result::ok))
        .filter(|property| property.pr_type() == elf::GNU_PROPERTY_X86_ISA_1_NEEDED)
        .filter_map(|property| property.data_u32(endian).ok())
        .fold(0, |all, bits| all | bits);
    [
        (elf::GNU_PROPERTY_X86_ISA_1_V4, IsaLevel::V4),
        (elf::GNU_PROPERTY_X86_ISA_1_V3, IsaLevel::V3),
        (elf::GNU_PROPERTY_X86_ISA_1_V2, IsaLevel::V2),
        (elf::GNU_PROPERTY_X86_ISA_1_BASELINE, IsaLevel::Baseline),
    ]
    .into_iter()
    .find_map(|(bit, level)| (needed & bit != 0).then_some(level))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::{Search, Strength};
    use crate::target::Arch;

    fn fixture(name: &str) -> Facts {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/elf/");
        read(&fs_err::read(format!("{path}{name}")).expect("the fixture")).expect("a sound ELF file")
    }

    #[test]
    fn a_dynamic_program_tells_loader_needs_and_versions() {
        let facts = fixture("program-glibc-2.36");
        let dynamic = facts.dynamic.as_ref().expect("a dynamic section");
        assert_eq!(facts.arch(), Some(Arch::X86_64));
        assert_eq!(facts.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(facts.stack, Stack::Plain);
        assert_eq!(dynamic.needed, ["libc.so.6"]);
        assert!(
            dynamic.versions_needed.iter().any(|need| need.version == "GLIBC_2.36" && need.strength == Strength::Hard),
            "{dynamic:?}"
        );
        assert_eq!(facts.kind, Kind::PositionIndependentExecutable);
        assert!(facts.is_program() && facts.is_loaded_dynamically());
    }

    #[test]
    fn a_weak_version_need_is_told_apart() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/elf/program-glibc-2.36");
        let mut bytes = fs_err::read(path).expect("the fixture");
        let hash_of_glibc_2_36 = 0x0696_91b6_u32.to_le_bytes();
        let at = bytes.windows(4).position(|window| window == hash_of_glibc_2_36).expect("its version record");
        bytes[at + 4] = 2; // vna_flags: VER_FLG_WEAK
        let dynamic = read(&bytes).expect("a sound ELF file").dynamic.expect("a dynamic section");
        let need = dynamic.versions_needed.iter().find(|need| need.version == "GLIBC_2.36").expect("the need");
        assert_eq!(need.strength, Strength::Weak);
    }

    #[test]
    fn search_paths_stack_relocations_and_level() {
        let search = |name| fixture(name).dynamic.expect("a dynamic section").search;
        assert_eq!(search("program-rpath"), Search::Rpath(vec!["$ORIGIN/../lib".to_owned()]));
        assert_eq!(search("program-runpath"), Search::Runpath(vec!["$ORIGIN/../lib".to_owned()]));
        assert_eq!(fixture("execstack.so").stack, Stack::Executable);
        assert!(fixture("textrel.so").dynamic.expect("a dynamic section").text_relocations);
        assert_eq!(fixture("v3.so").isa, Some(IsaLevel::V3));
    }

    #[test]
    fn a_static_program_has_no_loader() {
        let facts = fixture("static");
        assert!(facts.is_program() && !facts.is_loaded_dynamically());
        let pie = fixture("static-pie");
        assert_eq!((pie.kind, &pie.interpreter), (Kind::PositionIndependentExecutable, &None));
        assert!(pie.is_program() && !pie.is_loaded_dynamically());
    }

    #[test]
    fn packed_relocations_are_seen() {
        assert!(fixture("relr.so").dynamic.expect("a dynamic section").packed_relocations);
        assert!(!fixture("plain.so").dynamic.expect("a dynamic section").packed_relocations);
    }

    #[test]
    fn other_machines_and_classes_are_named() {
        assert_eq!(fixture("arm64.so").arch(), Some(Arch::Arm64));
        let old = fixture("i386.so");
        assert_eq!((old.class, old.arch()), (Class::Elf32, None));
    }

    #[test]
    fn a_library_defines_versions() {
        let dynamic = fixture("libversioned.so.1").dynamic.expect("a dynamic section");
        assert_eq!(dynamic.soname.as_deref(), Some("libversioned.so.1"));
        assert_eq!(dynamic.versions_defined, ["GREET_1.0"]);
    }

    #[test]
    fn cut_short_at_any_length_it_never_panics() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/elf/program-glibc-2.36");
        let whole = fs_err::read(path).expect("the fixture");
        for length in 0..whole.len() {
            let _ = read(&whole[..length]);
        }
        assert!(read(&whole[..40]).is_err());
    }

    #[test]
    fn with_any_byte_flipped_it_never_panics() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/elf/program-glibc-2.36");
        let mut bytes = fs_err::read(path).expect("the fixture");
        for at in 0..bytes.len() {
            bytes[at] ^= 0xff;
            let _ = read(&bytes);
            bytes[at] ^= 0xff;
        }
    }
}
