// Package systemd tests the package and its unit where systemd is the first process: on a Debian that the
// script run boots in an emulated machine. It is a module of its own, since its tests change the machine
// that they run on, and run nowhere else.
package systemd
