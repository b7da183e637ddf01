; SPDX-License-Identifier: GPL-2.0-or-later
; 32-bit paging: rights, accessed and dirty bits, WP, 4 MiB pages, global pages, faults that straddle pages. SDM vol. 3, 4.3, 4.6-4.10.
%define TEST_NAME "t_paging"
%include "lib.inc"

; The directory at 2 MiB, the first page table at 2 MiB + 4 KiB: 0-4 MiB identical. A second one for 400000h-7fffff: the window,
; whose first pages are mapped as the test likes. Frames at 300000h.
%define PD   0x200000
%define PT0  0x201000
%define PT1  0x202000
%define WIN  0x400000
%define FRAME 0x300000

%define P 1
%define W 2
%define U 4
%define A 0x20
%define D 0x40
%define PS 0x80
%define G 0x100

%define PF_P 1
%define PF_W 2
%define PF_U 4
%define PF_RSVD 8

; Maps page n of the window
%macro MAP 3			; n, frame, bits
	mov dword [PT1 + (%1) * 4], (%2) | (%3)
	invlpg [WIN + (%1) * 0x1000]
%endmacro

%macro PAGE_FAULTS 3+.nolist		; error, address, instruction
	FAULTS EXC_PF, %1, %3
	CHECK_EQ dword [exc_cr2], %2
%endmacro

test_main:
	mov edi, PD
	xor eax, eax
	mov ecx, 3 * 1024
	rep stosd
	mov dword [PD], PT0 | P | W | U
	mov dword [PD + 4], PT1 | P | W | U
	mov edi, PT0
	mov eax, P | W | U
.fill:	stosd
	add eax, 0x1000
	cmp eax, 0x400000
	jb .fill
	mov edi, FRAME
	mov ecx, 0x10000 / 4
	mov eax, 0x5a5a5a5a
	rep stosd
	mov eax, PD
	mov cr3, eax
	mov [df_tss + 28], eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	jmp .paged
.paged:
	call present
	call ad_bits
	call user
	call protect
	call large
	call global_pages
	call straddle
	call tables
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	ret

present:
	PAGE_FAULTS 0, WIN + 0x123, mov al, [WIN + 0x123]
	PAGE_FAULTS PF_W, WIN + 0x123, mov [WIN + 0x123], al
	PAGE_FAULTS PF_W, WIN + 0x123, inc byte [WIN + 0x123]
	MAP 0, FRAME, P | W
	WORKS mov eax, [WIN]
	CHECK_EQ eax, 0x5a5a5a5a
	; what is not present is not kept: no INVLPG is needed
	PAGE_FAULTS 0, WIN + 0x1000, mov al, [WIN + 0x1000]
	mov dword [PT1 + 4], FRAME | P | W
	WORKS mov al, [WIN + 0x1000]
	mov eax, WIN + 0x2000
	GUARD
	jmp eax
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_eip], WIN + 0x2000
	CHECK_EQ dword [exc_cr2], WIN + 0x2000
	CHECK_EQ dword [exc_err], 0
	; a directory entry that is not present
	PAGE_FAULTS 0, 0x800010, mov al, [0x800010]
	; the second page of an instruction
	MAP 2, FRAME + 0x2000, P | W
	MAP 3, 0, 0
	mov word [WIN + 0x2ffe], 0x05c7	; MOV [m], imm
	mov eax, WIN + 0x2ffe
	GUARD
	jmp eax
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_eip], WIN + 0x2ffe
	CHECK_EQ dword [exc_cr2], WIN + 0x3000
	ret

ad_bits:
	and dword [PD + 4], ~A
	mov eax, cr3
	mov cr3, eax
	MAP 0, FRAME, P | W
	mov al, [WIN]
	CHECK_EQ dword [PT1], FRAME | P | W | A
	mov eax, [PD + 4]
	and eax, A | D
	CHECK_EQ eax, A
	mov [WIN], al
	CHECK_EQ dword [PT1], FRAME | P | W | A | D
	; a fault sets neither
	MAP 1, FRAME, P
	mov ebx, cr0
	or ebx, 1 << 16
	mov cr0, ebx
	PAGE_FAULTS PF_P | PF_W, WIN + 0x1000, mov [WIN + 0x1000], al
	CHECK_EQ dword [PT1 + 4], FRAME | P
	; read-modify-write sets both; a compare that fails writes as well
	MAP 1, FRAME, P | W
	mov eax, 1
	mov ecx, 2
	cmpxchg [WIN + 0x1000], ecx
	CHECK_EQ dword [PT1 + 4], FRAME | P | W | A | D
	MAP 1, FRAME, P | W
	or byte [WIN + 0x1000], 0
	CHECK_EQ dword [PT1 + 4], FRAME | P | W | A | D
	and ebx, ~(1 << 16)
	mov cr0, ebx
	; an execute sets accessed only
	MAP 1, FRAME + 0x1000, P | W
	mov byte [FRAME + 0x1000], 0xc3
	mov eax, WIN + 0x1000
	call eax
	CHECK_EQ dword [PT1 + 4], FRAME + 0x1000 + (P | W | A)
	ret

user:
	MAP 0, FRAME, P | W
	MAP 1, FRAME, P | W | U
	MAP 2, FRAME, P | U
	RUN3 .read_super
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_err], PF_P | PF_U
	CHECK_EQ dword [exc_cr2], WIN + 4
	RUN3 .write_super
	CHECK_EQ dword [exc_err], PF_P | PF_U | PF_W
	RUN3 .write_ok
	CHECK_EQ dword [exc_vec], INT_RETURN
	CHECK_EQ dword [FRAME], 7
	RUN3 .write_ro
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_err], PF_P | PF_U | PF_W
	CHECK_EQ dword [exc_cr2], WIN + 0x2008
	RUN3 .jump_super
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_err], PF_P | PF_U
	CHECK_EQ dword [exc_eip], WIN
	; the directory's rights count as well
	and dword [PD + 4], ~U
	mov eax, cr3
	mov cr3, eax
	RUN3 .write_ok
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_err], PF_P | PF_U | PF_W
	or dword [PD + 4], U
	and dword [PD + 4], ~W
	mov eax, cr3
	mov cr3, eax
	RUN3 .write_ok
	CHECK_EQ dword [exc_err], PF_P | PF_U | PF_W
	or dword [PD + 4], W
	mov eax, cr3
	mov cr3, eax
	RUN3 .not_present
	CHECK_EQ dword [exc_err], PF_U
	ret
.read_super:
	mov eax, [WIN + 4]
	int INT_RETURN
.write_super:
	mov [WIN + 4], eax
	int INT_RETURN
.write_ok:
	mov dword [WIN + 0x1000], 7
	int INT_RETURN
.write_ro:
	mov eax, [WIN + 0x2008]
	mov [WIN + 0x2008], eax
	int INT_RETURN
.jump_super:
	mov eax, WIN
	jmp eax
.not_present:
	mov eax, [WIN + 0x9000]
	int INT_RETURN

protect:			; CR0.WP
	MAP 0, FRAME, P
	MAP 1, FRAME, P | U
	mov ebx, cr0
	WORKS mov [WIN], eax
	WORKS mov [WIN + 0x1000], eax
	or ebx, 1 << 16
	mov cr0, ebx
	PAGE_FAULTS PF_P | PF_W, WIN, mov [WIN], eax
	PAGE_FAULTS PF_P | PF_W, WIN + 0x1000, mov [WIN + 0x1000], eax
	WORKS mov eax, [WIN]
	and ebx, ~(1 << 16)
	mov cr0, ebx
	WORKS mov [WIN], eax
	ret

large:
	mov dword [PD + 8], 0x00000000 | P | W | PS	; without CR4.PSE the bit means nothing: a table at 0
	mov ebx, cr4
	or ebx, 0x10
	mov cr4, ebx
	mov dword [PD + 8], 0 | P | W | PS
	mov dword [FRAME + 0x123 * 4], 0x600df00d
	mov eax, [0x800000 + FRAME + 0x123 * 4]
	CHECK_EQ eax, 0x600df00d
	CHECK_EQ dword [PD + 8], P | W | PS | A
	mov [0x800000 + FRAME], eax
	CHECK_EQ dword [PD + 8], P | W | PS | A | D
	mov eax, [FRAME]
	CHECK_EQ eax, 0x600df00d
	RUN3 .user
	CHECK_EQ dword [exc_err], PF_P | PF_U
	; reserved bit 21
	mov dword [PD + 8], 0x00200000 | P | W | PS
	invlpg [0x800000]
	PAGE_FAULTS PF_P | PF_RSVD, 0x800000, mov al, [0x800000]
	PAGE_FAULTS PF_P | PF_RSVD | PF_W, 0x800000, mov [0x800000], al
	mov dword [PD + 8], 0
	; INVLPG anywhere in the page drops it
	invlpg [0x812345]
	PAGE_FAULTS 0, 0x800000, mov al, [0x800000]
	ret
.user:	mov al, [0x800000]
	int INT_RETURN

global_pages:
	mov ebx, cr4
	or ebx, 0x80
	mov cr4, ebx
	mov dword [FRAME], 0x11111111
	mov dword [FRAME + 0x1000], 0x22222222
	MAP 0, FRAME, P | W | G
	mov eax, [WIN]
	mov dword [PT1], FRAME + 0x1000 + (P | W)
	mov eax, cr3
	mov cr3, eax
	mov eax, [WIN]			; kept: global pages survive a load of CR3
	CHECK_EQ eax, 0x11111111
	invlpg [WIN]
	mov eax, [WIN]
	CHECK_EQ eax, 0x22222222
	MAP 0, FRAME, P | W | G
	mov eax, [WIN]
	mov dword [PT1], FRAME + 0x1000 + (P | W)
	and ebx, ~0x80			; a change of CR4.PGE drops all
	mov cr4, ebx
	mov eax, [WIN]
	CHECK_EQ eax, 0x22222222
	MAP 0, FRAME, P | W		; others do not survive
	mov eax, [WIN]
	mov dword [PT1], FRAME + 0x1000 + (P | W)
	mov eax, cr3
	mov cr3, eax
	mov eax, [WIN]
	CHECK_EQ eax, 0x22222222
	ret

straddle:
	MAP 0, FRAME, P | W
	MAP 1, 0, 0
	mov dword [WIN + 0xffc], 0x33333333
	PAGE_FAULTS PF_W, WIN + 0x1000, mov dword [WIN + 0xffe], 0x44444444
	CHECK_EQ dword [WIN + 0xffc], 0x33333333	; nothing was written
	PAGE_FAULTS 0, WIN + 0x1000, mov eax, [WIN + 0xffd]
	MAP 1, FRAME + 0x1000, P | W
	MAP 0, 0, 0
	PAGE_FAULTS PF_W, WIN + 0xffe, mov dword [WIN + 0xffe], 0x44444444
	MAP 0, FRAME, P | W
	mov dword [WIN + 0xffe], 0x44332211
	CHECK_EQ16 [FRAME + 0xffe], 0x2211
	CHECK_EQ16 [FRAME + 0x1000], 0x4433
	; two pages that are far apart
	MAP 1, FRAME + 0x8000, P | W
	mov dword [WIN + 0xffe], 0x88776655
	CHECK_EQ16 [FRAME + 0x8000], 0x8877
	; PUSH with a bad stack: esp is what it was
	mov edx, esp
	MAP 0, 0, 0
	mov eax, WIN + 0x1000
	SET_GATE idt, EXC_PF, DF_TSS, 0, 0x85, 0
	GUARD
	mov esp, eax
	push eax
	GUARDED
	mov esp, edx
	CHECK_EQ dword [exc_vec], EXC_DF	; df_entry says so of any task
	CHECK_EQ dword [exc_err], PF_W
	CHECK_EQ dword [tss + 56], WIN + 0x1000
	SET_GATE idt, EXC_PF, CODE32, vec_stubs + EXC_PF * 8, 0x8e, 0
	ret

; What the processor itself reads may fault as well, as a supervisor
tables:
	SET_DESC 0x80, 0, 0xfffff, D_P | D_DATA | D_BIG | D_PAGES
	MAP 4, FRAME + 0x4000, P | W
	MAP 5, FRAME + 0x5000, P | W
	mov edi, WIN + 0x5000 - 0x80		; selectors from 80h on lie in the second page
	mov esi, gdt
	mov ecx, GDT_LEN * 2
	rep movsd
	mov word [FRAME], GDT_LEN * 8 - 1
	mov dword [FRAME + 2], WIN + 0x5000 - 0x80
	lgdt [FRAME]
	mov ax, DATA32
	WORKS mov fs, ax
	MAP 5, 0, 0
	mov ax, 0x80
	PAGE_FAULTS 0, WIN + 0x5000, mov fs, ax
	MAP 5, FRAME + 0x5000, P		; with WP the accessed bit cannot be set
	mov ebx, cr0
	or ebx, 1 << 16
	mov cr0, ebx
	PAGE_FAULTS PF_P | PF_W, WIN + 0x5005, mov fs, ax
	and ebx, ~(1 << 16)
	mov cr0, ebx
	WORKS mov fs, ax
	test byte [WIN + 0x5005], 1
	setnz al
	movzx eax, al
	CHECK_EQ eax, 1
	lgdt [gdt_ptr]
	ret
