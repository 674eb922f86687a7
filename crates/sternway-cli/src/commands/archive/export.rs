//! `sternway archive export`: the rows of an entry as CSV or SQL, a page at a time.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use sternway_engine::archive::{Pages, entry};
use sternway_model::effect::counted;
use sternway_view::archive::{Exported, Format, Writer};

use crate::args::{ExportArgs, ExportFormat};
use crate::failure::{Exit, Failure};
use crate::wiring::Setup;

pub async fn export(setup: &Setup<'_>, args: &ExportArgs) -> Result<Exit, Failure> {
    let ui = setup.ui;
    if ui.is_json() && args.out.is_none() {
        let failure = Failure::new("two documents do not go to one output", Exit::Usage);
        return Err(failure.hint("--out FILE says where the rows go"));
    }
    let mut database = setup.connect().await?;
    let entry = entry(&mut *database, &setup.config.layout.app, args.id).await?;
    let identity = database.identity().clone();
    let format = match args.format {
        ExportFormat::Csv => Format::Csv,
        ExportFormat::Sql => Format::Sql { dialect: setup.dialect(), identity: &identity },
    };
    let place =
        args.out.as_ref().map_or("standard output".to_owned(), |it| it.display().to_string());
    let failed = |error| Failure::of(format!("cannot write the rows to {place}"), error);
    let target = Target::open(args.out.as_deref()).map_err(failed)?;
    let mut writer = Writer::new(format, &entry, target);
    let mut pages = Pages::of(&entry);
    while let Some(page) = pages.next(&mut *database).await? {
        writer.page(&page).map_err(failed)?;
    }
    let target = writer.finish().map_err(failed)?;
    let bytes = target.finish(args.out.as_deref()).map_err(failed)?;
    if args.out.is_some() {
        let rows = pages.rows();
        ui.note(format!("{} of {} written to {place}", counted(rows, "row"), entry.lost));
        ui.json(&Exported::of(entry, place, rows, bytes));
    }
    Ok(Exit::Done)
}

/// Where an export goes. A file is written beside its place first, for nobody else to read, and a
/// half-written one is never found there.
enum Target {
    File(BufWriter<tempfile::NamedTempFile>, u64),
    Out(BufWriter<io::Stdout>, u64),
}

impl Target {
    fn open(path: Option<&Path>) -> io::Result<Target> {
        let Some(path) = path else { return Ok(Target::Out(BufWriter::new(io::stdout()), 0)) };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::NamedTempFile::new_in(folder)?;
        Ok(Target::File(BufWriter::with_capacity(1 << 16, file), 0))
    }

    /// Puts the file in its place. Returns how many bytes were written.
    fn finish(self, path: Option<&Path>) -> io::Result<u64> {
        match (self, path) {
            (Self::File(file, bytes), Some(path)) => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(path).map_err(|error| error.error)?;
                Ok(bytes)
            }
            (Self::File(_, bytes), None) => Ok(bytes),
            (Self::Out(mut out, bytes), _) => {
                out.flush()?;
                Ok(bytes)
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let (written, bytes) = match self {
            Self::File(file, bytes) => (file.write(buffer)?, bytes),
            Self::Out(out, bytes) => (out.write(buffer)?, bytes),
        };
        *bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.flush(),
            Self::Out(out, _) => out.flush(),
        }
    }
}
