# SPDX-License-Identifier: BSD-3-Clause
"""What the demo and the guest tests share: child processes, QEMU guests, the daemon, host peers.

Only Python's standard library is used. Nothing here needs privileges.
"""
