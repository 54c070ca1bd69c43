//! The smallest program there is: it says by its exit code that it ran, and with whose rights.
//!
//! Attacks need something to execute that was not there before, has no libraries to be found, and
//! does no harm should anybody else run it with rights that it was given for a test.

/// What the program exits with when it has only the rights of whoever runs it.
pub(crate) const EXIT_PLAIN: i32 = 42;
/// What it exits with when it was given those of another user.
pub(crate) const EXIT_RAISED: i32 = 43;

/// Where the code is loaded.
const BASE: u64 = 0x40_0000;
/// Bytes before the code: both headers.
const HEADER_BYTES: u64 = 64 + 56;

/// `exit(geteuid() == getuid() ? 42 : 43)`
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[
    0xb8, 107, 0, 0, 0, 0x0f, 0x05, // mov eax, geteuid; syscall
    0x89, 0xc3, // mov ebx, eax
    0xb8, 102, 0, 0, 0, 0x0f, 0x05, // mov eax, getuid; syscall
    0x31, 0xff, // xor edi, edi
    0x39, 0xd8, // cmp eax, ebx
    0x40, 0x0f, 0x95, 0xc7, // setne dil
    0x83, 0xc7, 42, // add edi, 42
    0xb8, 60, 0, 0, 0, 0x0f, 0x05, // mov eax, exit; syscall
];
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;

/// `exit(geteuid() == getuid() ? 42 : 43)`
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[
    0xe8, 0x15, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // mov x8, geteuid; svc 0
    0xe1, 0x03, 0x00, 0x2a, // mov w1, w0
    0xc8, 0x15, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // mov x8, getuid; svc 0
    0x1f, 0x00, 0x01, 0x6b, // cmp w0, w1
    0xe0, 0x07, 0x9f, 0x1a, // cset w0, ne
    0x00, 0xa8, 0x00, 0x11, // add w0, w0, 42
    0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4, // mov x8, exit; svc 0
];
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;

/// The program as a file.
pub(crate) fn bytes() -> Vec<u8> {
    let size = HEADER_BYTES + CODE.len() as u64;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    half(&mut file, 2); // executable
    half(&mut file, MACHINE);
    word(&mut file, 1);
    long(&mut file, BASE + HEADER_BYTES); // entry
    long(&mut file, 64); // program headers
    long(&mut file, 0);
    word(&mut file, 0);
    for value in [64, 56, 1, 64, 0, 0] {
        half(&mut file, value);
    }
    word(&mut file, 1); // to be loaded
    word(&mut file, 5); // readable, executable
    for value in [0, BASE, BASE, size, size, 0x1000] {
        long(&mut file, value);
    }
    file.extend(CODE);
    file
}
