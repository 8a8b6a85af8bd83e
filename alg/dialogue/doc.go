// Package dialogue follows one FTP control connection as a dialogue: lines and pieces of lines, the
// login, which command waits for which reply, TLS, the strict rules.
//
// Bytes of one side go in ([Dialogue.Read]); out come the edits to make in them. Where the lines
// negotiate a data connection, its door is asked for through a [Gate], which also hears of what happens.
// A dialogue knows no packet, no sequence number, no kernel, and no clock but the one that it is given.
// What of it must outlive the program is one small value, its [Memory].
//
// A line that comes whole is judged whole: commands in commands.go, replies in replies.go, the addresses in
// both in doors.go. A line that comes in pieces is passed on as it comes (pieces.go), but for
// the part that the judgement may change: that is swallowed until the line ends. Swallowed bytes
// are acknowledged to their sender, which with Nagle's algorithm sends no more before they are.
package dialogue
