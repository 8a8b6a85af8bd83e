// Package fate tells what came of each door: whether the expected data connection came, after how long, how
// many bytes went each way, how long it lasted and how it ended. The kernel's events tell that it came and
// that its entry is gone; how it is meanwhile the kernel is asked, above all when the server says that the
// transfer is over. So no data packet is seen. While a data connection lives, the entry of its control
// connection is kept alive.
package fate
