// Package chaos has a gateway, and a pair of them, disturbed at random while clients are at work: it kills,
// stops and replaces the program, takes its rules and its labels away, pulls cables out, moves the addresses.
// Every file must arrive whole or the client be told; no byte of a control connection may be wrong, and
// nothing may open that was not asked for.
//
//	go test ./test/chaos -for 20m -timeout 1h -v
//
// What happens when is different each time, and many minutes of it still find faults where one thing happens
// while another goes on: that is for people who look at what it says. One thing at a time (-apart), for two
// minutes, is a condition for a change. Without -for only the judging is tested. With -logs what the programs
// say, what the ends send and who changes the kernel's entries is written down.
package chaos
