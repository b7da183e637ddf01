; SPDX-License-Identifier: GPL-2.0-or-later
; String instructions: counts, directions, address sizes, overlaps, and faults in the middle, after which registers tell how far it
; came. SDM vol. 1, 7.3.9; vol. 2, REP.
%define TEST_NAME "t_string"
%include "lib.inc"

%define S(n) (FREE_SEL + (n) * 8)
%define PD  0x200000
%define PT0 0x201000
%define PT1 0x202000
%define WIN 0x400000
%define FRAME 0x300000

test_main:
	call plain
	call compare
	call sizes
	call limits
	call paging
	call interrupts
	ret

plain:
	mov esi, .text
	mov edi, 0x300000
	mov ecx, 8
	rep movsb
	CHECK_EQ ecx, 0
	CHECK_EQ edi, 0x300008
	CHECK_EQ dword [0x300004], "efgh"
	; overlap: a pattern spreads
	mov dword [0x300000], 0x04030201
	mov esi, 0x300000
	mov edi, 0x300001
	mov ecx, 7
	rep movsb
	CHECK_EQ dword [0x300000], 0x01010101
	CHECK_EQ dword [0x300004], 0x01010101
	mov dword [0x300000], 0x11111111
	mov dword [0x300004], 0x22222222
	mov esi, 0x300000
	mov edi, 0x300002
	mov ecx, 3
	rep movsw
	CHECK_EQ dword [0x300000], 0x11111111
	CHECK_EQ dword [0x300004], 0x11111111
	; backwards
	std
	mov esi, 0x300004
	mov edi, 0x300014
	mov ecx, 2
	rep movsd
	cld
	CHECK_EQ esi, 0x2ffffc
	CHECK_EQ edi, 0x30000c
	CHECK_EQ dword [0x300010], 0x11111111
	; a count of 0 touches nothing
	xor ecx, ecx
	mov edi, 0xf0000000
	rep stosd
	CHECK_EQ edi, 0xf0000000
	mov eax, 0xa5a5a5a5
	mov edi, 0x300000
	mov ecx, 1000
	rep stosd
	CHECK_EQ edi, 0x300000 + 4000
	CHECK_EQ dword [0x300000 + 3996], 0xa5a5a5a5
	mov esi, 0x300000
	mov ecx, 3
	rep lodsw
	CHECK_EQ esi, 0x300006
	ret
.text:	db "abcdefgh"

%define ZF 0x40
compare:
	mov edi, 0x300000
	mov ecx, 16
	mov al, 0
	rep stosb
	mov byte [0x300005], 7
	mov edi, 0x300000
	mov ecx, 16
	mov al, 7
	repne scasb
	CHECK_FLAGS ZF, ZF
	CHECK_EQ ecx, 10
	CHECK_EQ edi, 0x300006
	mov edi, 0x300000
	mov ecx, 16
	mov al, 0
	repe scasb
	CHECK_FLAGS ZF, 0
	CHECK_EQ ecx, 10
	mov edi, 0x300000
	mov ecx, 5
	mov al, 9
	repne scasb
	CHECK_FLAGS ZF, 0
	CHECK_EQ ecx, 0
	mov esi, 0x300000
	mov edi, 0x300008
	mov ecx, 8
	repe cmpsb
	CHECK_FLAGS ZF | 1, 0
	CHECK_EQ ecx, 2
	CHECK_EQ esi, 0x300006
	CHECK_EQ edi, 0x30000e
	; a count of 0 leaves the flags
	xor ecx, ecx
	cmp ecx, 1
	repe cmpsb
	CHECK_FLAGS ZF | 1, 1
	ret

sizes:
	; 16-bit addresses: CX, SI, DI; the rest of the registers stays
	mov dword [0x7f00], "wxyz"
	mov ecx, 0x12340002
	mov esi, 0x56787f00
	mov edi, 0x9abc7f10
	a16 rep movsw
	CHECK_EQ ecx, 0x12340000
	CHECK_EQ esi, 0x56787f04
	CHECK_EQ edi, 0x9abc7f14
	CHECK_EQ dword [0x7f10], "wxyz"
	; DI wraps at 64 KiB
	mov edi, 0xffff
	mov ecx, 2
	mov al, 0x3c
	mov bl, [0]
	a16 rep stosb
	CHECK_EQ edi, 1
	movzx eax, byte [0]
	CHECK_EQ eax, 0x3c
	mov [0], bl
	mov eax, 0x10003
	mov ecx, eax
	a16 loop .l1
.l1:	CHECK_EQ ecx, 0x10002
	mov ecx, 0x10000
	a16 jcxz .zero
	CHECK_EQ ecx, 0
.zero:	mov ecx, 0x10000
	jecxz .bad
	ret
.bad:	CHECK_EQ ecx, 0
	ret

limits:
	SET_DESC S(0), 0x300000, 0xff, D_P | D_DATA | D_BIG
	mov ax, S(0)
	mov es, ax
	mov ax, DATA32
	mov edi, 0xf8
	mov ecx, 16
	mov al, 0x77
	FAULTS EXC_GP, 0, rep stosb
	CHECK_EQ ecx, 8
	CHECK_EQ edi, 0x100
	CHECK_EQ dword [0x3000fc], 0x77777777
	mov ax, S(0)
	mov es, ax
	mov edi, 0xfd
	mov ecx, 2
	FAULTS EXC_GP, 0, rep stosd	; does not fit: nothing is written
	CHECK_EQ ecx, 2
	CHECK_EQ edi, 0xfd
	mov ax, S(0)
	mov fs, ax
	mov esi, 0xfe
	mov edi, 0x300200
	mov ecx, 5
	FAULTS EXC_GP, 0, fs rep movsb
	CHECK_EQ ecx, 3
	CHECK_EQ esi, 0x100
	CHECK_EQ edi, 0x300202
	; ES cannot be overridden
	mov esi, 0x300000
	mov edi, 0x300300
	mov ecx, 1
	WORKS fs rep stosb
	ret

; The window's first page is there, the second not
paging:
	mov edi, PD
	xor eax, eax
	mov ecx, 3 * 1024
	rep stosd
	mov dword [PD], PT0 | 7
	mov dword [PD + 4], PT1 | 7
	mov edi, PT0
	mov eax, 7
.fill:	stosd
	add eax, 0x1000
	cmp eax, 0x400000
	jb .fill
	mov dword [PT1], FRAME | 7
	mov eax, PD
	mov cr3, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	; stores up to the edge
	mov edi, WIN + 0xff0
	mov ecx, 100
	mov eax, 0x42424242
	FAULTS EXC_PF, 2, rep stosb
	CHECK_EQ dword [exc_cr2], WIN + 0x1000
	CHECK_EQ ecx, 84
	CHECK_EQ edi, WIN + 0x1000
	CHECK_EQ dword [FRAME + 0xffc], 0x42424242
	; a doubleword across the edge: not at all
	mov dword [FRAME + 0xffc], 0
	mov edi, WIN + 0xffa
	mov ecx, 3
	FAULTS EXC_PF, 2, rep stosd
	CHECK_EQ dword [exc_cr2], WIN + 0x1000
	CHECK_EQ ecx, 2
	CHECK_EQ edi, WIN + 0xffe
	CHECK_EQ dword [FRAME + 0xffc], 0x00004242
	; source missing, destination there
	mov esi, WIN + 0xffe
	mov edi, 0x310000
	mov ecx, 10
	FAULTS EXC_PF, 0, rep movsb
	CHECK_EQ ecx, 8
	CHECK_EQ esi, WIN + 0x1000
	CHECK_EQ edi, 0x310002
	; the handler brings the page and the instruction goes on where it was
	mov dword [exc_hook], .bring
	mov esi, WIN + 0xff8
	mov edi, 0x310000
	mov ecx, 16
	mov dword [FRAME + 0x1000], 0x61616161
	rep movsb
	mov dword [exc_hook], 0
	CHECK_EQ ecx, 0
	CHECK_EQ edi, 0x310010
	CHECK_EQ dword [0x310008], 0x61616161
	CHECK_EQ dword [exc_cr2], WIN + 0x1000
	; MOVS backwards over the lower edge
	mov dword [PT1], 0
	mov dword [PT1 + 4], FRAME | 7
	mov eax, cr3
	mov cr3, eax
	std
	mov edi, WIN + 0x1003
	mov ecx, 8
	mov al, 1
	FAULTS EXC_PF, 2, rep stosb
	cld
	CHECK_EQ dword [exc_cr2], WIN + 0xfff
	CHECK_EQ ecx, 4
	CHECK_EQ edi, WIN + 0xfff
	; CMPS: flags are those of the last pair that was compared
	mov esi, 0x310000
	mov edi, WIN + 0x1ffe
	mov dword [0x310000], 0x05050505
	mov word [FRAME + 0xffe], 0x0505
	mov ecx, 4
	FAULTS EXC_PF, 0, repe cmpsb
	CHECK_EQ ecx, 2
	mov eax, [exc_flags]
	and eax, ZF
	CHECK_EQ eax, ZF
	; ENTER, PUSHA and far pushes that meet the edge change nothing
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	ret
.bring:	mov dword [PT1 + 4], FRAME + 0x1007
	ret

; A long REP is cut by interrupts, at an iteration: the local APIC's timer, if there is one
%define APIC 0xfee00000
interrupts:
	mov eax, 1
	cpuid
	test edx, 1 << 9
	jz .none
	mov dword [APIC + 0xf0], 0x1ff
	mov dword [APIC + 0x320], 0x20
	mov dword [APIC + 0x3e0], 0xb
	mov dword [.ticks], 0
	mov dword [exc_hook], .tick
	mov dword [APIC + 0x380], 3000
	mov edi, 0x300000
	mov ecx, 100000
	mov al, 0x5c
	sti
	rep stosb
	cli
	mov dword [exc_hook], 0
	mov dword [APIC + 0xf0], 0xff
	CHECK_EQ dword [.ticks], 1
	CHECK_EQ dword [.eip_in], 1
	CHECK_EQ edi, 0x300000 + 100000
	CHECK_EQ dword [0x300000 + 99996], 0x5c5c5c5c
.none:	ret
.tick:	inc dword [.ticks]
	mov dword [APIC + 0xb0], 0
	xor eax, eax
	mov ecx, [exc_regs + 24]	; the count is neither 0 nor what it was
	cmp ecx, 100000
	jae .outside
	test ecx, ecx
	setnz al
.outside:
	mov [.eip_in], eax
	ret
	align 4
.ticks: dd 0
.eip_in: dd 0
