// Package ftptest is an FTP server and a scripted FTP client for tests and for
// the demonstration. Both are small, real, and say exactly what went over the
// wire: every command line as received, every reply as sent, every data
// connection with its addresses and its number of bytes.
//
// Both can be made to behave as odd as peers in the field do: a [Wire] cuts
// what is written into segments of any size, ends lines with LF, or leaves
// Nagle's algorithm on; the server advertises whatever address it is told to;
// the client sends any bytes.
//
// Sockets come from a [Network], so that each end may live in a network
// namespace; nil stands for the process's own.
package ftptest
