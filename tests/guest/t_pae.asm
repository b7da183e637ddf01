; SPDX-License-Identifier: GPL-2.0-or-later
; PAE paging: PDPTEs and when they are loaded, rights, 2 MiB pages, reserved bits, no-execute. SDM vol. 3, 4.4, 4.6.
%define TEST_NAME "t_pae"
%include "lib.inc"

%define PDPT 0x200000
%define PD   0x201000
%define PT   0x202000
%define WIN  0x400000		; 400000h-5fffff: by PT; the rest of the first 8 MiB identical, by large pages
%define FRAME 0x300000
%define P 1
%define W 2
%define U 4
%define A 0x20
%define D 0x40
%define PS 0x80
%define NX 0x80000000		; of the high word

%define PF_P 1
%define PF_W 2
%define PF_U 4
%define PF_RSVD 8
%define PF_I 0x10

%macro MAP 4			; n, frame, bits, high word
	mov dword [PT + (%1) * 8 + 4], %4
	mov dword [PT + (%1) * 8], (%2) | (%3)
	invlpg [WIN + (%1) * 0x1000]
%endmacro

%macro PAGE_FAULTS 3+.nolist
	FAULTS EXC_PF, %1, %3
	CHECK_EQ dword [exc_cr2], %2
%endmacro

test_main:
	mov edi, PDPT
	xor eax, eax
	mov ecx, 3 * 1024
	rep stosd
	mov dword [PDPT], PD | P
	mov dword [PD], 0x000000 | P | W | U | PS
	mov dword [PD + 8], 0x200000 | P | W | U | PS
	mov dword [PD + 16], PT | P | W | U
	mov edi, FRAME
	mov ecx, 0x4000 / 4
	mov eax, 0x5a5a5a5a
	rep stosd
	mov eax, PDPT
	mov cr3, eax
	mov [df_tss + 28], eax
	mov eax, cr4
	or eax, 0x20
	mov cr4, eax
	mov eax, cr0
	or eax, 0x80000000
	mov cr0, eax
	jmp .paged
.paged:
	call basics
	call pdptes
	call reserved
	call no_execute
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	ret

basics:
	CHECK_EQ dword [PD], P | W | U | PS | A | D
	PAGE_FAULTS 0, WIN, mov al, [WIN]
	MAP 0, FRAME, P | W, 0
	mov eax, [WIN]
	CHECK_EQ eax, 0x5a5a5a5a
	CHECK_EQ dword [PT], FRAME | P | W | A
	mov [WIN], eax
	CHECK_EQ dword [PT], FRAME | P | W | A | D
	RUN3 .user
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_err], PF_P | PF_U
	MAP 0, FRAME, P | U, 0
	RUN3 .user
	CHECK_EQ dword [exc_vec], INT_RETURN
	RUN3 .user_write
	CHECK_EQ dword [exc_err], PF_P | PF_U | PF_W
	WORKS mov [WIN], eax
	PAGE_FAULTS 0, 0x40000000, mov al, [0x40000000]
	ret
.user:	mov eax, [WIN]
	int INT_RETURN
.user_write:
	mov [WIN], eax
	int INT_RETURN

pdptes:
	; the PDPTEs are registers: memory is looked at by MOV CR3 only
	mov dword [PDPT + 8], PD | P
	PAGE_FAULTS 0, 0x40000000, mov al, [0x40000000]
	mov eax, cr3
	mov cr3, eax
	mov dword [FRAME + 0x10], 0x600df00d
	mov eax, [0x40000000 + FRAME + 0x10]
	CHECK_EQ eax, 0x600df00d
	; reserved bits: MOV CR3 faults and changes nothing
	mov dword [PDPT + 8], PD | P | 2
	mov eax, cr3
	FAULTS EXC_GP, 0, mov cr3, eax
	mov eax, [0x40000000 + FRAME + 0x10]
	CHECK_EQ eax, 0x600df00d
	mov dword [PDPT + 8], 2			; not present: reserved bits do not matter
	mov eax, cr3
	WORKS mov cr3, eax
	mov dword [PDPT + 8], 0
	mov eax, cr3
	mov cr3, eax
	PAGE_FAULTS 0, 0x40000000, mov al, [0x40000000]
	; and so does turning paging on
	mov eax, cr0
	and eax, 0x7fffffff
	mov cr0, eax
	mov dword [PDPT + 8], PD | P | 0x20
	or eax, 0x80000000
	FAULTS EXC_GP, 0, mov cr0, eax
	mov dword [PDPT + 8], 0
	mov cr0, eax
	ret

reserved:
	MAP 0, FRAME, P | W, 0x00080000		; address bit 51
	PAGE_FAULTS PF_P | PF_RSVD, WIN, mov al, [WIN]
	MAP 0, FRAME, P | W, NX			; without EFER.NXE it is reserved
	PAGE_FAULTS PF_P | PF_RSVD, WIN, mov al, [WIN]
	mov dword [PD + 24], 0x600000 | P | W | PS | 0x2000
	PAGE_FAULTS PF_P | PF_RSVD, 0x600000, mov al, [0x600000]
	mov dword [PD + 24], 0
	MAP 0, FRAME, 0, NX			; not present: nothing is reserved
	PAGE_FAULTS 0, WIN, mov al, [WIN]
	ret

no_execute:
	mov eax, 0x80000000
	cpuid
	cmp eax, 0x80000001
	jb .none
	mov eax, 0x80000001
	cpuid
	bt edx, 20
	jnc .none
	mov ecx, 0xc0000080
	rdmsr
	or eax, 0x800
	wrmsr
	mov dword [FRAME], 0x90909090
	mov byte [FRAME + 4], 0xc3
	MAP 0, FRAME, P | W | U, NX
	mov eax, [WIN]
	CHECK_EQ eax, 0x90909090
	mov eax, WIN
	GUARD
	call eax
	GUARDED
	CHECK_EQ dword [exc_vec], EXC_PF
	CHECK_EQ dword [exc_err], PF_P | PF_I
	CHECK_EQ dword [exc_eip], WIN
	CHECK_EQ dword [exc_cr2], WIN
	RUN3 .user
	CHECK_EQ dword [exc_err], PF_P | PF_I | PF_U
	MAP 1, 0, 0, 0
	mov eax, WIN + 0x1000		; not present, but the I bit tells of the fetch
	GUARD
	call eax
	GUARDED
	CHECK_EQ dword [exc_err], PF_I
	MAP 0, FRAME, P | W | U, 0
	mov eax, WIN
	WORKS call eax
	or dword [PD + 20], NX		; the directory's bit counts for all its pages
	mov eax, cr3
	mov cr3, eax
	mov eax, WIN
	GUARD
	call eax
	GUARDED
	CHECK_EQ dword [exc_err], PF_P | PF_I
	mov ecx, 0xc0000080
	rdmsr
	and eax, ~0x800
	wrmsr
	mov dword [PD + 20], 0
	mov eax, cr3
	mov cr3, eax
	or edx, 1
	FAULTS EXC_GP, 0, wrmsr
.none:	ret
.user:	mov eax, WIN
	jmp eax
