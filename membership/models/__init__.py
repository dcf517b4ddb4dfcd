from .programs import Membership, Program, ProgramVersion, Tier, Transition

__all__ = ["Membership", "Program", "ProgramVersion", "Tier", "Transition"]
