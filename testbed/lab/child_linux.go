package lab

import "syscall"

// childAttributes make a child die with the lab, and keep the terminal's ctrl-C from it: the lab ends its children in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
