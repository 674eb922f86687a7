use super::*;

/// User, host and port or the socket, and the database that a URL leads to.
fn check(url: &str, user: &str, place: &str, database: &str) {
    let target = read(url).unwrap_or_else(|error| panic!("{url}: {error}"));
    let options = &target.options;
    assert_eq!(options.get_username(), user, "{url}");
    let found = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{} {}", options.get_host(), options.get_port()),
    };
    assert_eq!(found, place, "{url}");
    assert_eq!(options.get_database().unwrap_or_default(), database, "{url}");
}

#[test]
fn a_dsn_is_read_as_golang_migrates_driver_does() {
    check("mysql://user:password@tcp(h:1)/db", "user", "h 1", "db");
    check("mysql://tcp(127.0.0.1:3306)/myDB?multiStatements=true", "", "127.0.0.1 3306", "myDB");
    check("mysql://user@tcp(h:1)/db", "user", "h 1", "db");
    check("mysql://us%3Aer:p%40@tcp(h:1)/db", "us:er", "h 1", "db");
    check("mysql://us%40er:p/w(?)@tcp(h:1)/db", "us@er", "h 1", "db");
    check("mysql://user:a@b@unix(/run/my.sock)/db?charset=utf8", "user", "/run/my.sock", "db");
    check("mysql://user@unix/db", "user", "/tmp/mysql.sock", "db");
    check("mysql://user@tcp([::1]:3307)/db", "user", "::1 3307", "db");
    check("mysql://user@tcp([::1])/db", "user", "::1 3306", "db");
    check("mysql://user@tcp(h)/db", "user", "h 3306", "db");
    check("mysql://user@/db", "user", "127.0.0.1 3306", "db");
    check("mysql:///db", "", "127.0.0.1 3306", "db");
    check("mysql://u@tcp(h:1)/db?x-tls-ca=/etc/ca.pem", "u", "h 1", "db");
    check("mysql://u+v:p@tcp(h:1)/db", "u v", "h 1", "db");
    check("mysql://100%:p%zz@tcp(h:1)/db", "100%", "h 1", "db");
}

#[test]
fn an_ordinary_url_is_read_too() {
    check("mysql://user:password@h:1/db", "user", "h 1", "db");
    check("mysql://user:password@h/db?timeout=3s", "user", "h 3306", "db");
    check("mysql://u+v@[::1]:3307/db", "u+v", "::1 3307", "db");
    check("mysql://h/db?x-tls-ca=/etc/ca.pem", "", "h 3306", "db");
    check("mysql://h:2/my%20db", "", "h 2", "my db");
}

#[test]
fn parameters_are_the_drivers_sternways_or_settings() {
    let target = read(
        "mysql://u@tcp(h)/db?parseTime=true&sql_mode=%27ANSI%27&foreign_key_checks=0&timeout=1m1.5s\
         &charset=utf8mb4,utf8&collation=latin1_bin&x-migrations-table=t&x-no-lock=T\
         &x-statement-timeout=1500&x-custom=foobar",
    )
    .expect("a URL");
    assert_eq!(
        target.settings,
        [
            "SET sql_mode='ANSI'",
            "SET foreign_key_checks=0",
            "SET NAMES utf8mb4",
            "SET NAMES latin1 COLLATE latin1_bin"
        ]
    );
    assert_eq!((target.table.as_str(), target.no_lock), ("t", true));
    assert_eq!(target.timeout, Some(Duration::from_millis(1500)));
    assert_eq!(target.connect_timeout, Duration::from_millis(61_500));
    let plain = read("mysql://u@tcp(h)/db?x-statement-timeout=0").expect("a URL");
    assert_eq!((plain.table.as_str(), plain.timeout), ("schema_migrations", None));
}

#[test]
fn how_secure_it_has_to_be_is_said_by_tls() {
    let mode = |parameters: &str| {
        let target = read(&format!("mysql://u@tcp(h)/db?{parameters}")).expect("a URL");
        format!("{:?} {}", target.options.get_ssl_mode(), target.plain)
    };
    assert_eq!(mode(""), "Disabled false");
    assert_eq!(mode("tls=false"), "Disabled true");
    assert_eq!(mode("tls=true"), "VerifyIdentity false");
    assert_eq!(mode("tls=skip-verify"), "Required false");
    assert_eq!(mode("tls=preferred"), "Preferred false");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "-----BEGIN CERTIFICATE-----").expect("a file");
    let custom = format!("tls=custom&x-tls-ca={}", file.display());
    assert_eq!(mode(&custom), "VerifyIdentity false");
    assert_eq!(mode(&format!("{custom}&x-tls-insecure-skip-verify=1")), "Required false");
    let refused = |parameters: &str| {
        let url = format!("mysql://u:s3cret@tcp(h)/db?{parameters}");
        read(&url).expect_err(parameters).to_string()
    };
    assert!(refused(&format!("{custom}&x-tls-key=k")).contains("both x-tls-cert and x-tls-key"));
    assert!(refused("tls=custom").contains("open : "));
    std::fs::write(&file, "no").expect("a file");
    assert!(refused(&custom).contains("failed to append PEM"));
}

#[test]
fn what_is_wrong_is_said_in_golang_migrates_words_and_without_the_password() {
    for (url, words) in [
        ("mysql://u:s3cret@tcp(h)", "invalid DSN: missing the slash separating the database name"),
        ("mysql://u:s3cret@tcp(h/db", "network address not terminated"),
        ("mysql://u:s3cret@udp(h)/db", "default addr for network"),
        ("mysql://u:s3cret@h:port/db", "port"),
        ("mysql://u:s3cret@tcp(h)/db?x-no-lock=maybe", "could not parse x-no-lock as bool: "),
        (
            "mysql://u:s3cret@tcp(h)/db?x-statement-timeout=1.5",
            "could not parse x-statement-timeout as float: strconv.Atoi: parsing \"1.5\"",
        ),
        ("mysql://u:s3cret@tcp(h)/db?timeout=soon", "timeout"),
        ("mysql:u:s3cret", "mysql://"),
        ("maria://u:s3cret@h/db", "scheme"),
    ] {
        let error = read(url).expect_err(url).to_string();
        assert!(error.contains(words) && !error.contains("s3cret"), "{url}: {error}");
    }
}
