//! The commands of each kind of step. A script knows sandbox paths only, never the engine that runs it.

use std::collections::BTreeMap;

use crate::catalogue::{Build, Extension, Library, Patch, PhpSeries};
use crate::digest::Digest;
use crate::recipe::{Recipe, Sapi};
use crate::source::Pinned;
use crate::target::{Arch, Target};

use super::answers::answers;
use super::step::{SourceMount, Step, StepId};

/// - Sections of their own let the link drop what nothing uses; hidden symbols keep the archives from meeting by accident.
/// - No unwind tables: C does not unwind, and they are another 1.7 MB.
const CFLAGS: &str = "-fno-asynchronous-unwind-tables -fno-unwind-tables -ffunction-sections -fdata-sections \
                      -fvisibility=hidden -fstack-protector-strong -fno-ident";

/// - Not position-independent: 79,000 relocations less at every start, and 2 MB less to read. What it costs: the
///   executable's own addresses are not randomised; stack, heap and libraries still are.
/// - On arm64 the code is compiled as for a position-independent executable, and linked as the other: gcc has no other way
///   there to reach glibc's variables through a table. Reached directly they become copies, and the copy of `environ` does
///   not follow `setenv` when zig has linked it. The linker takes the table's detour out where it is not needed.
/// - `-mno-outline-atomics`: gcc would call helpers of its libgcc for atomic operations. zig's library has not all of them
///   (`__aarch64_cas4_sync`), and PHP's configure then takes php-fpm's atomics away.
fn cflags(arch: Arch) -> String {
    match arch {
        Arch::X86_64 => format!("-O2 -fno-pie {CFLAGS}"),
        Arch::Arm64 => format!("-O2 -fpie -mno-outline-atomics {CFLAGS}"),
    }
}

/// Flags of the one executable. `-s`: nothing reads symbols on Lambda, and they are a third of the file.
const LDFLAGS: &str = "-no-pie -s -Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed";

/// Directories of the installed PHP headers, and of the source tree behind them for what is not installed.
const PHP_INCLUDES: &str =
    "-I/opt/include/php -I/opt/include/php/main -I/opt/include/php/TSRM -I/opt/include/php/Zend -I/opt/include/php/ext";

fn step(
    id: StepId,
    sources: Vec<SourceMount>,
    needs: Vec<StepId>,
    environment: BTreeMap<String, String>,
    script: String,
) -> Step {
    Step { id, sources, needs, environment, script, tools: Vec::new(), key: Digest::of(b"") }
}

fn mounted(pinned: Pinned, at: &str) -> SourceMount {
    SourceMount { pinned, at: at.to_owned() }
}

fn environment(target: Target, libraries: &[String]) -> BTreeMap<String, String> {
    let pkg_config: Vec<String> = libraries.iter().map(|name| format!("/deps/{name}/lib/pkgconfig")).collect();
    let common = [
        ("CFLAGS", cflags(target.arch)),
        ("HOST", target.arch.triple().to_owned()),
        ("PKG_CONFIG_LIBDIR", pkg_config.join(":")),
    ];
    common.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(answers(target.arch)).collect()
}

/// `lib:NAME`: the definition's own script, between the same first and last lines for all.
pub(super) fn library(library: &Library, pinned: Pinned, target: Target, needed: &[String]) -> Step {
    let id = StepId::Library(library.name.clone());
    let mut environment = environment(target, needed);
    environment.insert("PREFIX".to_owned(), id.place());
    environment.insert(
        "CFLAGS".to_owned(),
        format!("{} {}", cflags(target.arch), library.cflags.join(" ")).trim_end().to_owned(),
    );
    environment.extend(library.environment(target.arch));
    let script = format!("set -eu\n{}\n", library.build.trim());
    let needs = needed.iter().map(|name| StepId::Library(name.clone())).collect();
    let mut step = step(id, vec![mounted(pinned, "/src")], needs, environment, script);
    step.tools = library.tools.clone();
    step
}

/// Archives of a library as the link sees them.
pub(super) fn archives(library: &Library) -> Vec<String> {
    library.link.iter().map(|archive| format!("/deps/{}/lib/{archive}", library.name)).collect()
}

/// `php:VERSION`: the core's objects as one archive, each SAPI joined into one object, headers, and phpize's files.
pub(super) fn php(series: &PhpSeries, pinned: Pinned, target: Target) -> Step {
    let mut environment = environment(target, &[]);
    environment.insert("EXTENSION_DIR".to_owned(), "/opt/lib/php/extensions".to_owned());
    environment.insert("PHP_BUILD_PROVIDER".to_owned(), "phplayer".to_owned());
    // configure would ask `uname -a`, and the answer names the kernel of whoever built it.
    for name in ["PHP_UNAME", "PHP_BUILD_SYSTEM"] {
        environment.insert(name.to_owned(), format!("Linux {}", target.arch.cpu()));
    }
    // No `phplayer-objects` target is PHP's: its own `all` would link both SAPIs, which nobody runs.
    // PHP's `install-headers` copies one file at a time; one tar does it at once, and takes every extension's headers.
    // SAPI objects keep one global symbol each, so that both fit into one executable.
    let script = format!(
        r#"set -eu
/src/configure --cache-file=config.cache --build=$BUILD --host=$HOST --prefix=/opt --disable-all --disable-cgi \
    --disable-phpdbg --enable-cli --enable-fpm --without-pear --with-valgrind=no --disable-rpath \
    --with-config-file-path=/opt/etc/php --with-config-file-scan-dir=/opt/etc/php/conf.d:/var/task/php/conf.d {configure}
cat > objects.mk <<'END'
phplayer-objects: $(PHP_GLOBAL_OBJS) $(PHP_CLI_OBJS) $(PHP_FASTCGI_OBJS) $(PHP_FPM_OBJS)
	@printf '%s\n' $(PHP_GLOBAL_OBJS:.lo=.o) > core.list
	@printf '%s\n' $(PHP_CLI_OBJS:.lo=.o) > cli.list
	@printf '%s\n' $(PHP_FASTCGI_OBJS:.lo=.o) $(PHP_FPM_OBJS:.lo=.o) > fpm.list
END
make -f Makefile -f objects.mk phplayer-objects
mkdir -p /opt/lib/phplayer /opt/include/php
$AR rcsD /opt/lib/phplayer/core.a $(cat core.list)
for sapi in cli fpm; do
    $LD -r -o $sapi.o $(cat $sapi.list)
    $OBJCOPY --redefine-sym main=php_${{sapi}}_main --keep-global-symbol=php_${{sapi}}_main $sapi.o /opt/lib/phplayer/$sapi.o
done
grep -E '^#include "ext|phpext_[a-z]*_ptr,' main/internal_functions_cli.c > main/phplayer_builtin.h
make install-build install-programs
for tree in /src .; do
    (cd $tree && find Zend TSRM main ext -name '*.h' | LC_ALL=C sort | tar -cf - -T -) | tar -xf - -C /opt/include/php
done
grep -E '^(ac|lt|php|ax)_cv_' config.cache | grep -v -E '^ac_cv_env_|PKG_CONFIG|ac_cv_path_' > /opt/lib/phplayer/config.cache
"#,
        configure = series.configure.join(" ")
    );
    step(StepId::Php(pinned.version.clone()), vec![mounted(pinned, "/src")], Vec::new(), environment, script)
}

/// `ext:NAME`: its objects as one archive. `needed` are the libraries under it, those of the libraries included.
pub(super) fn extension(
    extension: &Extension,
    own: Option<Pinned>,
    php: &Pinned,
    target: Target,
    needed: &[&Library],
) -> Step {
    let name = &extension.name;
    let includes: Vec<String> = needed
        .iter()
        .flat_map(|library| library.include.iter().map(|dir| format!("/deps/{}/{dir}", library.name)))
        .collect();
    let needed: Vec<String> = needed.iter().map(|library| library.name.clone()).collect();
    let id = StepId::Extension(name.clone());
    let mut environment = environment(target, &needed);
    environment.insert("EXTRA_CFLAGS".to_owned(), extension.build.cflags.join(" "));
    let bundled = own.is_none();
    let source = if bundled { format!("/src/ext/{name}") } else { "/pecl".to_owned() };
    let archive = format!("{}/{name}.a", id.place());
    let body = match extension.build.sources.is_empty() {
        false => compiled(&source, &extension.build, &includes, &archive),
        true => phpized(name, &source, &extension.build, &archive),
    };
    let body = body + &entry(extension, &archive);
    let mut needs = vec![StepId::Php(php.version.clone())];
    needs.extend(needed.iter().map(|name| StepId::Library(name.clone())));
    let mut sources = vec![mounted(php.clone(), "/src")];
    sources.extend(own.map(|own| mounted(own, "/pecl")));
    let mut step = step(id, sources, needs, environment, body);
    step.tools = extension.tools.clone();
    if !extension.build.patches.is_empty() {
        step.tools.push("patch".to_owned());
    }
    step
}

/// Shell text that applies the patches to the working folder. One that does not fit exactly fails the step: a source that
/// has changed there is for a person to look at.
fn patched(patches: &[Patch]) -> String {
    let apply = |patch: &Patch| {
        format!(
            "patch -p1 --forward --fuzz=0 --no-backup-if-mismatch <<'PHPLAYER_PATCH'\n{}\nPHPLAYER_PATCH\n",
            patch.diff.trim()
        )
    };
    patches.iter().map(apply).collect()
}

/// Finds the symbol that the link's table will name. It is not always the extension's name: zlib's is `php_zlib`.
fn entry(extension: &Extension, archive: &str) -> String {
    let file = format!("/ext/{}/entry", extension.name);
    if extension.zend_extension {
        return format!("echo zend_extension_entry > {file}\n");
    }
    format!(
        r#"$NM -g --defined-only {archive} | sed -n 's/^[0-9a-f]* [A-Z] \([A-Za-z0-9_]*_module_entry\)$/\1/p' | sort -u > {file}
[ $(wc -l < {file}) = 1 ] || {{ echo "one module entry is expected, and there are:" $(cat {file}) >&2; exit 1; }}
"#
    )
}

/// Sources compiled as they stand: their configure would decide nothing.
fn compiled(source: &str, build: &Build, includes: &[String], archive: &str) -> String {
    let objects: Vec<String> = build.sources.iter().map(|file| format!("{}.o", file.trim_end_matches(".c"))).collect();
    // Sources are read-only, so what is patched is a copy.
    let (source, copied) = match build.patches.as_slice() {
        [] => (source, String::new()),
        patches => {
            let apply = patched(patches);
            ("/build/patched", format!("cp -a {source}/. patched\ncd patched\n{apply}cd ..\n"))
        }
    };
    format!(
        r#"set -eu
{copied}export INCLUDES="-I{source} {PHP_INCLUDES} -I/src {includes}"
cat > Makefile <<'END'
objects: {objects}
%.o: {source}/%.c
	$(CC) $(INCLUDES) -D_GNU_SOURCE -DZEND_ENABLE_STATIC_TSRMLS_CACHE=1 $(CFLAGS) $(EXTRA_CFLAGS) -c $< -o $@
END
make objects
$AR rcsD {archive} {objects}
"#,
        objects = objects.join(" "),
        includes = includes.iter().map(|dir| format!("-I{dir}")).collect::<Vec<_>>().join(" "),
    )
}

/// Its own configure, made by phpize. The core's answers to the common questions are in its cache already; objects
/// only, no shared object; `get_module` is renamed, or the archives would collide on it. Inside PHP's own build every
/// source sees what configure found; here only those that include config.h do, so all are made to: mysqlnd would
/// otherwise have neither TLS nor compression.
fn phpized(name: &str, source: &str, build: &Build, archive: &str) -> String {
    format!(
        r#"set -eu
cp -a {source}/. .
{patched}for start in config0.m4 config9.m4; do [ ! -f $start ] || mv $start config.m4; done
/opt/bin/phpize
cp /opt/lib/phplayer/config.cache config.cache
./configure --cache-file=config.cache --build=$BUILD --host=$HOST --with-php-config=/opt/bin/php-config {configure}
echo 'phplayer-objects: $(shared_objects_{name})' > objects.mk
make -f Makefile -f objects.mk phplayer-objects EXTRA_CFLAGS="-include config.h -I/src $EXTRA_CFLAGS -Dget_module=get_module_{name}"
$AR rcsD {archive} $(find . -path '*/.libs/*.o' | LC_ALL=C sort)
"#,
        patched = patched(&build.patches),
        configure = build.configure.join(" ")
    )
}

/// `link:RECIPE`: a generated module table, the core, the chosen archives: one executable for the SAPIs asked for. They
/// stand in a group, since GNU ld looks into an archive once: opcache wants a part of the core that nobody before it does.
pub(super) fn link(
    recipe: &Recipe,
    extensions: &[&Extension],
    libraries: &[String],
    archives: &[String],
    php: &Pinned,
    target: Target,
) -> Step {
    let names = |zend: bool| -> String {
        let chosen = extensions.iter().filter(|extension| extension.zend_extension == zend);
        chosen.map(|extension| extension.name.as_str()).collect::<Vec<_>>().join(" ")
    };
    let (modules, zend) = (names(false), names(true));
    let sapis: Vec<&str> = recipe.sapi.iter().map(Sapi::name).collect();
    let system: Vec<String> =
        extensions.iter().flat_map(|extension| &extension.system_libraries).map(|name| format!("-l{name}")).collect();
    let extension_archives: Vec<String> =
        extensions.iter().map(|extension| format!("/ext/{0}/{0}.a", extension.name)).collect();
    let sapi_objects: Vec<String> = sapis.iter().map(|sapi| format!("/opt/lib/phplayer/{sapi}.o")).collect();
    let script = format!(
        r#"set -eu
{{
    printf '#include "php.h"\n#include "php_main.h"\n#include "zend_modules.h"\n#include "zend_extensions.h"\n'
    grep include /opt/include/php/main/phplayer_builtin.h
    for name in {modules}; do printf 'extern zend_module_entry %s;\n' "$(cat /ext/$name/entry)"; done
    [ -z "{zend}" ] || printf 'extern zend_extension zend_extension_entry;\n'
    printf 'static zend_module_entry *const modules[] = {{\n'
    grep phpext_ /opt/include/php/main/phplayer_builtin.h
    for name in {modules}; do printf '\t&%s,\n' "$(cat /ext/$name/entry)"; done
    printf '}};\nPHPAPI int php_register_internal_extensions(void)\n{{\n'
    [ -z "{zend}" ] || printf '\tzend_register_extension(&zend_extension_entry, NULL);\n'
    printf '\treturn php_register_extensions(modules, sizeof(modules) / sizeof(*modules));\n}}\n'
}} > modules.c
{main}
for file in modules main; do $CC {PHP_INCLUDES} -D_GNU_SOURCE $CFLAGS -c $file.c -o $file.o; done
mkdir -p /out/bin
$CC {LDFLAGS} -Wl,--print-map -o /out/bin/php main.o modules.o {sapi_objects} \
    -Wl,--start-group /opt/lib/phplayer/core.a {extension_archives} {archives} -Wl,--end-group {system} -lm -lpthread -ldl -lrt -lresolv > /out/link.map
{links}
{measure}
{check}
"#,
        main = entry_point(&sapis),
        measure = measure(&sapis),
        sapi_objects = sapi_objects.join(" "),
        extension_archives = extension_archives.join(" "),
        archives = archives.join(" "),
        system = system.join(" "),
        links = if sapis.contains(&"fpm") { "ln -s php /out/bin/php-fpm" } else { "" },
        check = check(&sapis, extensions),
    );
    let mut needs = vec![StepId::Php(php.version.clone())];
    needs.extend(libraries.iter().map(|name| StepId::Library(name.clone())));
    needs.extend(extensions.iter().map(|extension| StepId::Extension(extension.name.clone())));
    let environment = environment(target, &[]);
    step(StepId::Link(recipe.name.get_ref().to_string()), Vec::new(), needs, environment, script)
}

/// Which SAPI it is, is told by the name it is called by: the bootstrap passes it, so nothing depends on the link.
fn entry_point(sapis: &[&str]) -> String {
    let call = match sapis {
        [only] => format!("return php_{only}_main(argc, argv);"),
        _ => "return strncmp(name, \"php-fpm\", 7) == 0 ? php_fpm_main(argc, argv) : php_cli_main(argc, argv);"
            .to_owned(),
    };
    let declared: Vec<String> =
        sapis.iter().map(|sapi| format!("int php_{sapi}_main(int argc, char **argv);")).collect();
    let source = include_str!("main.c").replace("@DECLARATIONS@", &declared.join("\n")).replace("@CALL@", &call);
    format!("cat > main.c <<'END'\n{source}END")
}

/// Asks the program how much memory its start takes, and writes the answer into it: see main.c. The command line's start
/// is taken for both: php-fpm's differs by a few pages.
fn measure(sapis: &[&str]) -> &'static str {
    if !sapis.contains(&"cli") {
        return "";
    }
    r#"start=$(PHPLAYER_MEASURE_ARENA=1 $RUN /out/bin/php -n -r ';' 3>&1)
[ -n "$start" ] || { echo "the program does not say how much memory its start takes" >&2; exit 1; }
section=$(readelf -SW /out/bin/php | awk '{ for (i = 1; i < NF; i++) if ($i == "phplayer_arena") print $(i + 3) }')
perl -e 'print pack("Q<", ($ARGV[0] + 4095) & ~4095)' $start | dd of=/out/bin/php bs=1 seek=$((0x$section)) conv=notrunc status=none"#
}

/// What was linked must start and know every extension: the versions are its own answer. An FPM alone only starts.
fn check(sapis: &[&str], extensions: &[&Extension]) -> String {
    if !sapis.contains(&"cli") {
        return "$RUN /out/bin/php -n -v && echo '{}' > /out/versions.json".to_owned();
    }
    let names: Vec<String> = extensions
        .iter()
        .map(|extension| match extension.zend_extension {
            true => "\"Zend OPcache\"".to_owned(),
            false => format!("\"{}\"", extension.name),
        })
        .collect();
    format!(
        r#"$RUN /out/bin/php -n -d display_errors=stderr -r '
$versions = ["php" => PHP_VERSION];
foreach ([{names}] as $name) {{
    if (!extension_loaded($name)) {{ fwrite(STDERR, "linked in, but not loaded: $name\n"); exit(1); }}
    $versions[$name] = phpversion($name);
}}
echo json_encode($versions, JSON_PRETTY_PRINT), "\n";' > /out/versions.json"#,
        names = names.join(", ")
    )
}
