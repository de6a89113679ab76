//! The words of `dockgate htpasswd`, which reads its options by itself, as Apache's tool does.

/// What `--help` prints, and what every wrong command line is answered with.
pub(crate) const USAGE: &str = "\
Usage:
	dockgate htpasswd [-cimB25dpsDv] [-C cost] [-r rounds] passwordfile username
	dockgate htpasswd -b[cmB25dpsDv] [-C cost] [-r rounds] passwordfile username password

	dockgate htpasswd -n[imB25dps] [-C cost] [-r rounds] username
	dockgate htpasswd -nb[mB25dps] [-C cost] [-r rounds] username password
 -c  Create a new file.
 -n  Don't update file; display results on stdout.
 -b  Use the password from the command line rather than prompting for it.
 -i  Read password from stdin without verification (for script usage).
 -B  Make a bcrypt hash of the password (default).
 -C  Set the cost of bcrypt: each step doubles the time of a login
     (default: 10, valid: 4 to 14).
 -m  Make Apache's MD5 hash of the password.
 -2  Make a SHA-256 crypt hash of the password.
 -5  Make a SHA-512 crypt hash of the password.
 -r  Set the number of rounds for SHA-256 and SHA-512 crypt
     (default: 5000, valid: 1000 to 1000000).
 -d  Make a traditional crypt hash of the password (8 chars max, insecure).
 -s  Make a SHA-1 hash of the password (without salt, insecure).
 -p  Do not hash the password (plain text after {PLAIN}, insecure).
 -D  Delete the specified user.
 -v  Verify password for the specified user.
Exit codes: 0 done, 1 file not accessible, 2 wrong command line, 3 password wrong
or not typed twice the same, 4 interrupted, 5 a value is too long, 6 user name
not possible or not found, 7 not a password file.";
