//go:build !linux

package lab

import "syscall"

// childAttributes keep the terminal's ctrl-C from a child: the lab ends its children in order.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
