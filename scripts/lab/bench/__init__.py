# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/bench is made of.

    cases      what is measured: data
    run        one turn of one case: processes
    network    the network that they run in
    results    figures of all turns, and the file that holds them
    machine    where and with what they were measured
    targets    what figures are to reach: data
    report     pages and plots of results; svg draws
    testpmd    testpmd as a load: pcap writes its frames
    main       the command
"""
