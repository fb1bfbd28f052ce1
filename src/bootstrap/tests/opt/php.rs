//! Stands in for a layer's `/opt/bin/php`: one executable for both SAPIs, told apart by the name it is started under.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

fn main() {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let is_fpm = Path::new(&name).file_name().is_some_and(|name| name == "php-fpm");
    let program = if is_fpm { "/usr/sbin/php-fpm8.2" } else { "/usr/bin/php8.2" };
    let mut command = Command::new(program);
    // As the layer's php.ini has it.
    if let Ok(log) = std::env::var("PHPLAYER_LOG") {
        command.args(["-d", &format!("error_log={log}")]);
    }
    let error = command.args(arguments).exec();
    eprintln!("{program}: {error}");
    std::process::exit(127);
}
