//! What configure scripts would learn by running a program, for the architecture that no build machine need have.
//!
//! A script that cross-compiles guesses, and PHP's guesses leave features out. Autoconf takes a variable of the environment
//! for an answer that it already has, so these are part of a step's environment, and of its key. They hold for Lambda's base
//! images on that architecture, whatever machine compiles: an arm64 machine need not ask either.

use crate::target::Arch;

/// x86_64 is only built on x86_64, where the scripts ask for themselves.
const X86_64: [(&str, &str); 0] = [];

const ARM64: [(&str, &str); 14] = [
    // Lambda's arm64 is little-endian; PHP's guess is `unknown`.
    ("ac_cv_c_bigendian_php", "no"),
    // The stack grows downwards; the guess is 0.
    ("ac_cv_c_stack_direction", "-1"),
    // LP64. The guesses are 8, 8 and 0; with the last PHP believes that there is no such type.
    ("php_cv_sizeof_ssize_t", "8"),
    ("php_cv_sizeof_ptrdiff_t", "8"),
    ("php_cv_sizeof_intmax_t", "8"),
    // /proc/PID/mem, for FPM's slow log.
    ("php_cv_file_proc_mem", "mem"),
    // glibc tells a thread's stack, so zend.max_allowed_stack_size works; the guess is no.
    ("php_cv_have_stack_limit", "yes"),
    // Asked only where the compiler has the attribute: PHP 8.5's TAILCALL virtual machine. The guess is no.
    ("php_cv_preserve_none", "yes"),
    // opcache's shared memory: Linux has all three kinds. The guess for the first and the last is no.
    ("php_cv_shm_ipc", "yes"),
    ("php_cv_shm_mmap_anon", "yes"),
    ("php_cv_shm_mmap_posix", "yes"),
    // pcntl_getcpuaffinity and pcntl_getcpu; the guess is no.
    ("php_cv_func_sched_getcpu", "yes"),
    // Session files; the guess is no.
    ("php_cv_func_pread", "yes"),
    ("php_cv_func_pwrite", "yes"),
];

/// Variables of every step for this architecture.
pub(super) fn answers(arch: Arch) -> impl Iterator<Item = (String, String)> {
    of(arch).iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
}

fn of(arch: Arch) -> &'static [(&'static str, &'static str)] {
    match arch {
        Arch::X86_64 => &X86_64,
        Arch::Arm64 => &ARM64,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_answer_is_a_variable_of_configures_cache() {
        for (name, value) in Arch::ALL.iter().flat_map(|arch| of(*arch)) {
            assert!(["ac_cv_", "php_cv_"].iter().any(|start| name.starts_with(start)), "{name}");
            assert!(!value.is_empty(), "{name}");
        }
    }

    #[test]
    fn no_question_is_answered_twice() {
        for arch in Arch::ALL {
            let table: BTreeMap<String, String> = answers(arch).collect();
            assert_eq!(table.len(), of(arch).len());
        }
    }

    #[test]
    fn x86_64_asks_for_itself() {
        assert_eq!(answers(Arch::X86_64).count(), 0);
    }
}
